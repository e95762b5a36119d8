"""The sections on attacks: matrix, findings, pictures, questions."""
