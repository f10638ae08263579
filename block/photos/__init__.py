"""A folder of photos in, a block directory out: what the photos show, which split they are in, how they are decoded."""
