"""How much time, memory and text a template may use. Both sides of the cage read these values."""

MEMORY_BYTES = 256 * 1024 * 1024
"""The address space of the child process, Python and Jinja2 included."""
CPU_SECONDS = 1.0
"""The CPU time for a message, with the compilation of its template. The process that exceeds it is killed."""
WALL_SECONDS = 10.0
"""The time for a message on a machine that is so busy that the process does not get its CPU time."""
LIFETIME_CPU_SECONDS = 60
"""The CPU time of a process in total. The kernel kills it then, even if its parent has died."""
WORN_CPU_SECONDS = 30.0
"""A process that has used so much CPU time is replaced before its next group."""
MAX_SOURCE_CHARACTERS = 256 * 1024
"""The length of a variant of a template."""
MAX_OUTPUT_CHARACTERS = 1024 * 1024
"""The length of a rendered part."""
MAX_FRAME_BYTES = 16 * 1024 * 1024
"""The size of an answer of the child for one message."""
MAX_TEMPLATES = 200
"""A process that knows so many templates is replaced."""
