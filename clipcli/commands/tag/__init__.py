"""`tag`: writes labels as keywords, into XMP sidecars or the photos themselves."""
