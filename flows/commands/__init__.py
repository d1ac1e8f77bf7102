"""The commands of `demoire`, by what they work on: archives, images at hand, training, and the
service around them.
"""
