"""`convert`: a model in the form that another library reads."""
