"""One converter a dataset, from what its makers publish (or a spreadsheet) to a datalist."""
