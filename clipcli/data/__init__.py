"""Images and what is known of them: every kind of data, read in one place.

A kind of data gives samples. Three views make of them what a command needs: images, images with the names of their
classes, and images with captions.
"""
