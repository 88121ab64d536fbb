"""`sort`: puts images into folders by their labels, with a plan first and a way back."""
