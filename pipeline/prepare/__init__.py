"""From a datalist to arrays that training maps into memory, whatever the modality."""
