//! How the system's allocator keeps memory.
//!
//! glibc gives each thread a heap of its own and, once a large buffer was given back, keeps the next ones in those
//! heaps. Requests run on a dozen threads and have large buffers: of 53 MiB that were kept after a push of 100,000
//! changes, 28 were in use at most, at any time. With two heaps, and each large buffer a mapping of its own that goes
//! when it is freed, 29 MiB were kept.

/// Heaps that threads share. The server has little that allocates at once beside two who work.
const HEAPS: libc::c_int = 2;
/// From so many bytes on a buffer is a mapping of its own; and so much free memory at a heap's end is given back.
const LARGE: libc::c_int = 128 * 1024;

/// Has memory given back that is not in use. To be called before there are threads.
#[allow(unsafe_code, reason = "nothing else sets these for a program that is started without them")]
pub(crate) fn give_back() {
    // SAFETY: `mallopt` takes numbers by value, and may be called at any time. One that it does not know it leaves.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, HEAPS);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE);
    }
}
