package store

// ChunkSize is how much of a blob is sealed, stored and resumed at a time.
const ChunkSize = 256 << 10
