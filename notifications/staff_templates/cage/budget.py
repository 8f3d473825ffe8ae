"""How much time, memory and text a template may use. Both sides of the cage read these values."""

MEMORY_BYTES = 256 * 1024 * 1024
"""The address space of the child process, Python and Jinja2 included."""
CPU_SECONDS = 0.5
"""The CPU time for a message, with the compilation of its template. The process that exceeds it is killed."""
GROUP_CPU_SECONDS = 2.0
"""The CPU time for the messages of a round trip together. The messages that are left wait."""
WALL_SECONDS = 10.0
"""The time for a message on a machine that is so busy that the process does not get its CPU time."""
LIFETIME_CPU_SECONDS = 60
"""The CPU time of a process in total. The kernel kills it then, even if its parent has died."""
WORN_CPU_SECONDS = 30.0
"""A process that has used so much CPU time is replaced before its next group."""
MAX_SOURCE_CHARACTERS = 256 * 1024
"""The length of a variant of a template."""
MAX_OUTPUT_CHARACTERS = 128 * 1024
"""The length of a rendered part."""
MAX_HEADER_BYTES = 64 * 1024
"""The size of the JSON text of an answer."""
MAX_FRAME_BYTES = 3 * 1024 * 1024
"""The size of an answer of the child for one message: five parts of four bytes for each character, and its header."""
MAX_GROUP_BYTES = 32 * 1024 * 1024
"""The size of the answers of a round trip together. The messages that are left wait."""
MAX_TEMPLATES = 200
"""A process that knows so many templates is replaced."""
