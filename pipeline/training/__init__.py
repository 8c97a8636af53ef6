"""What a run needs beside network, data and loss."""
