"""Whether data set or hospital can be told from what a model sees and makes."""
