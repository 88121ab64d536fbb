"""`review`: a page on which a person confirms and corrects labels, the doubtful first."""
