"""A folder of images in, a folder of encrypted images out, and back with the same pixels.

What makes data shareable as in Al Amin et al. (arXiv 2411.05901): every image becomes one file of
the same name, and a manifest says how the holder of the key reads them back.
"""
