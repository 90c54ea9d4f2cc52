cdef bytearray POWERS
cdef Py_ssize_t shortest(double value, unsigned char* to) noexcept
