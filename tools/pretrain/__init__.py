"""Label-free distillation of a ViT-S/14 into the DeiT-Tiny that ships with this project.

`teacher` reads the ViT-S/14 out of its ONNX file, `views` reads the images and draws crops,
`inherit` starts the student from the teacher's own blocks, `whiten` conditions its layers for
training, `targets` turns teacher tokens into regression targets, `distil` trains, `probe` measures,
`card` writes the weights and their card.
"""
