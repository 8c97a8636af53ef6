"""3D breast ultrasound: what its volumes are divided into, their cases, evaluations and answers."""
