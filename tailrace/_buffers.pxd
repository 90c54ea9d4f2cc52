cdef unsigned char* pointer(object buffer)
cdef int* ints(object buffer)
cdef unsigned char* bytes_of(bytearray owner)
cdef int* ints_of(bytearray owner)
cdef long long* longs_of(bytearray owner)


cdef class Column:
    cdef tuple owners
    cdef unsigned char* valid  # unset where there is no NULL
    cdef int* offsets
    cdef unsigned char* data  # unset where there is no byte
    cdef Py_ssize_t first
    cdef bint has_nulls
    cdef bint has_data
