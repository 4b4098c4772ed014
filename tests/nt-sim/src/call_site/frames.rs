//! The return addresses of the calling thread, innermost first.
//!
//! Where all code keeps frame pointers they are a list on the stack, which is followed in a few nanoseconds a frame;
//! elsewhere the unwinder is asked, which takes twenty times as long. This workspace asks for frame pointers on Linux
//! and x86-64, and says so with the configuration `frame_pointers` (`.cargo/config.toml`); the standard library comes with
//! them. Code without, such as the C library's, at worst ends the list early: nothing is read but the thread's own stack.

/// Fills `addresses` from the front, as far as there are frames.
#[inline(never)]
pub fn fill(addresses: &mut [usize]) {
    #[cfg(all(frame_pointers, target_os = "linux", target_arch = "x86_64"))]
    if pointers::fill(addresses) {
        return;
    }
    unwind(addresses);
}

/// As [`fill`], by the unwinder.
fn unwind(addresses: &mut [usize]) {
    let mut places = addresses.iter_mut();
    backtrace::trace(|frame| places.next().map(|place| *place = frame.ip().addr()).is_some());
}

#[cfg(all(frame_pointers, target_os = "linux", target_arch = "x86_64"))]
mod pointers {
    use core::arch::asm;
    use core::cell::Cell;
    use core::mem::MaybeUninit;
    use core::ops::Range;
    use core::ptr;

    /// What a frame begins with: where the caller's frame is, and the address to return to.
    type Frame = [usize; 2];

    /// Follows the frame pointers; false on a stack that is not the thread's own, as that of a coroutine.
    #[inline(never)]
    pub fn fill(addresses: &mut [usize]) -> bool {
        let mut frame: usize;
        // SAFETY: it only reads a register.
        unsafe { asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags)) };
        let stack = stack();
        if !stack.contains(&frame) {
            return false;
        }
        for place in addresses {
            let behind = frame.checked_add(size_of::<Frame>());
            if !frame.is_multiple_of(align_of::<Frame>()) || behind.is_none_or(|behind| behind > stack.end) {
                break;
            }
            let here = ptr::with_exposed_provenance::<usize>(frame);
            // SAFETY: aligned, and between this function's frame and the end of the thread's stack, all of which is in
            // use and so mapped and initialised. Volatile, as other functions' variables may be there.
            let caller = unsafe { here.read_volatile() };
            // SAFETY: as above, for the frame's second word.
            *place = unsafe { here.wrapping_add(1).read_volatile() };
            // Callers' frames stand above.
            if caller <= frame {
                break;
            }
            frame = caller;
        }
        true
    }

    /// The stack of the calling thread; empty if it cannot be told.
    fn stack() -> Range<usize> {
        thread_local! {
            static STACK: Cell<Option<(usize, usize)>> = const { Cell::new(None) };
        }
        let (start, end) = STACK.get().unwrap_or_else(|| {
            let found = find().unwrap_or((0, 0));
            STACK.set(Some(found));
            found
        });
        start..end
    }

    fn find() -> Option<(usize, usize)> {
        // SAFETY: it has no conditions.
        let thread = unsafe { libc::pthread_self() };
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the thread is running, and the attributes are written to.
        let code = unsafe { libc::pthread_getattr_np(thread, attributes.as_mut_ptr()) };
        if code != 0 {
            return None;
        }
        let (mut start, mut size) = (ptr::null_mut(), 0);
        // SAFETY: the attributes were initialised just now; both results are written to.
        let code = unsafe { libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut start, &raw mut size) };
        // SAFETY: initialised, and not used any more.
        unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
        let start = start.addr();
        (code == 0).then_some((start, start.checked_add(size)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn deeper(depth: usize, addresses: &mut [usize]) -> usize {
        if depth == 0 {
            fill(addresses);
            return 0;
        }
        std::hint::black_box(deeper(depth - 1, addresses)) + 1
    }

    #[test]
    fn the_frames_are_those_that_the_unwinder_finds() {
        let mut quick = [0; 64];
        deeper(10, &mut quick);
        let mut slow = [0; 64];
        unwind(&mut slow);
        // From this test on outwards both are the same, to where a thread of the standard library begins.
        let here = |addresses: &[usize]| {
            let mut lines = Vec::new();
            for address in addresses.iter().take_while(|address| **address != 0) {
                let place = std::ptr::without_provenance_mut(*address);
                backtrace::resolve(place, |symbol| {
                    lines.push(symbol.name().map_or_else(String::new, |name| format!("{name:#}")));
                });
            }
            let of_test = lines
                .iter()
                .rposition(|name| name.ends_with("the_frames_are_those_that_the_unwinder_finds"));
            let rest = lines.split_off(of_test.expect("the test is among them") + 1);
            let start = rest
                .iter()
                .position(|name| name.contains("__rust_begin_short_backtrace"));
            let recursions = lines.iter().filter(|name| name.ends_with("::deeper")).count();
            (
                recursions,
                rest[..start.expect("a thread of the test runner")].to_vec(),
            )
        };
        let ((recursions, outer), (_, expected)) = (here(&quick), here(&slow));
        assert_eq!(outer, expected);
        assert_eq!(recursions, 11);
    }
}
