cdef class Text:
    cdef bytearray data
    cdef bytearray offsets
    cdef bytearray valid  # None while there is no NULL
    cdef unsigned char* p_data
    cdef int* p_offsets
    cdef unsigned char* p_valid
    cdef Py_ssize_t used
    cdef Py_ssize_t room
    cdef Py_ssize_t rows
    cdef Py_ssize_t rows_room
    cdef Py_ssize_t nulls
    cdef int reserve_bytes(self, Py_ssize_t size) except -1
    cdef int reserve_rows(self, Py_ssize_t size) except -1
    cdef int fill_valid(self, Py_ssize_t start) except -1
    cdef int put(self, unsigned char* p, Py_ssize_t at, Py_ssize_t size) except -1
    cdef int end_value(self) except -1
    cdef int null(self) except -1
    cdef int null_until(self, Py_ssize_t rows) except -1
    cdef int repeat_last_of(self, Text other) except -1


cdef class Replaced:
    cdef Text values
    cdef bytearray columns  # int16 an entry
    cdef bytearray ends  # int32 a row, behind a zero
    cdef bytearray known  # 1 where the row before is known
    cdef unsigned char* p_columns
    cdef int* p_ends
    cdef unsigned char* p_known
    cdef Py_ssize_t room
    cdef Py_ssize_t rows
    cdef Py_ssize_t rows_room
    cdef int unknown_until(self, Py_ssize_t rows) except -1
    cdef int add(self, int column) except -1
    cdef int end_row(self, int known) except -1


cdef class Table:
    cdef object schema
    cdef list columns
    cdef frozenset key
    cdef int width
    cdef Py_ssize_t rows
    cdef Py_ssize_t room
    cdef bytearray ops
    cdef bytearray seqs
    cdef unsigned char* p_ops
    cdef int* p_seqs
    cdef list old  # of Text or None a column; None while no old tuple came
    cdef bytearray old_kind
    cdef Replaced replaced  # None while no row before is known by what replaced it
    cdef dict unsent  # column index -> bytearray, 1 where not sent
    cdef bint full_row  # the row under construction has its whole old row
    cdef int reset(self) except -1
    cdef int begin_row(self, int op, int seq) except -1
    cdef int no_row_after(self) except -1
    cdef int mark_unsent(self, int index) except -1
    cdef Text old_column(self, int index)
    cdef Replaced replaced_values(self)


cdef int u16(unsigned char* p, Py_ssize_t at) noexcept
cdef unsigned int u32(unsigned char* p, Py_ssize_t at) noexcept
cdef unsigned long long u64(unsigned char* p, Py_ssize_t at) noexcept
cdef bytearray grown(bytearray owner, Py_ssize_t size)
