"""The machine and its processes: files, child processes, what hardware is here, how busy it is."""
