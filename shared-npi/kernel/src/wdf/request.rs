//! Requests: owned, completed exactly once.

use core::mem::ManuallyDrop;
use core::ptr::NonNull;

use wdk_sys::{PVOID, WDFREQUEST, call_unsafe_wdf_function_binding};

use super::context::{self, Slot};
use super::device::Device;
use crate::status::NtStatus;

/// A device-control request that this driver owns.
///
/// It ends in one of the ways that consume it: completed, or pended ([`Request::pend`]). One that is dropped
/// instead, which is a mistake of the driver, is completed with `STATUS_UNSUCCESSFUL`, so that its program
/// does not hang.
///
/// Control codes are `METHOD_BUFFERED`: the kernel copied the input, and **input and output are the same
/// memory**. The borrow checker keeps the two apart: [`Request::output`] ends every borrow of the input.
pub struct Request<D: Device>(ManuallyDrop<Parts<D>>);

/// What a request is, without the duty to complete it.
pub(super) struct Parts<D: Device> {
    pub(super) handle: WDFREQUEST,
    device: NonNull<D>,
    file: NonNull<D::File>,
    code: u32,
    input_len: usize,
    output_len: usize,
    /// How much of the output this driver has written.
    written: usize,
}

// SAFETY: a request may be worked on by any thread; device and file state are shared, hence Sync by their
// traits.
unsafe impl<D: Device> Send for Parts<D> {}
// SAFETY: shared access reads only.
unsafe impl<D: Device> Sync for Parts<D> {}

impl<D: Device> Request<D> {
    /// # Safety
    /// `handle` was passed to this driver, nobody else completes it, and it was made by a device for a `D`
    /// whose value and file state are the ones given; the lengths are the framework's.
    pub(super) unsafe fn from_raw(
        handle: WDFREQUEST,
        device: &D,
        file: &D::File,
        code: u32,
        input_len: usize,
        output_len: usize,
    ) -> Self {
        Self::from_parts(Parts {
            handle,
            device: NonNull::from(device),
            file: NonNull::from(file),
            code,
            input_len,
            output_len,
            written: 0,
        })
    }

    pub(super) const fn from_parts(parts: Parts<D>) -> Self {
        Self(ManuallyDrop::new(parts))
    }

    pub(super) fn into_parts(self) -> Parts<D> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped or used again, so the parts are moved out once.
        unsafe { ManuallyDrop::take(&mut this.0) }
    }

    pub(super) fn handle(&self) -> WDFREQUEST {
        self.0.handle
    }

    /// The control code.
    #[must_use]
    pub fn code(&self) -> u32 {
        self.0.code
    }

    /// The device that the request was made to.
    #[must_use]
    pub fn device(&self) -> &D {
        // SAFETY: a device is not destroyed before its requests are completed, and this one is not.
        unsafe { self.0.device.as_ref() }
    }

    /// The state of the open that the request was made through.
    #[must_use]
    pub fn file(&self) -> &D::File {
        // SAFETY: a file object is not closed before its requests are completed, and this one is not.
        unsafe { self.0.file.as_ref() }
    }

    /// The input.
    ///
    /// # IRQL
    /// Up to `DISPATCH_LEVEL`.
    ///
    /// # Errors
    /// What the framework answers.
    pub fn input(&self) -> Result<&[u8], NtStatus> {
        if self.0.input_len == 0 {
            return Ok(&[]);
        }
        let mut buffer: PVOID = core::ptr::null_mut();
        // SAFETY: the request is ours and not completed; the out parameter is valid, the length is optional.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfRequestRetrieveInputBuffer,
                self.0.handle,
                self.0.input_len,
                &raw mut buffer,
                core::ptr::null_mut(),
            )
        };
        NtStatus(status).ok()?;
        // SAFETY: the buffer has at least the length that was asked for, all of it copied from the program,
        // and lives until the request is completed; writing to it takes `&mut self`.
        Ok(unsafe { core::slice::from_raw_parts(buffer.cast(), self.0.input_len) })
    }

    /// The most bytes that can be returned.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.0.output_len
    }

    /// The first `len` bytes of the output, zeroed: what is not written over does not tell the program what
    /// was in the kernel's memory before.
    ///
    /// # IRQL
    /// Up to `DISPATCH_LEVEL`.
    ///
    /// # Errors
    /// `STATUS_BUFFER_TOO_SMALL` if the output is shorter than `len`; what the framework answers.
    pub fn output(&mut self, len: usize) -> Result<&mut [u8], NtStatus> {
        if len > self.0.output_len {
            return Err(NtStatus::BUFFER_TOO_SMALL);
        }
        if len == 0 {
            return Ok(&mut []);
        }
        let mut buffer: PVOID = core::ptr::null_mut();
        // SAFETY: the request is ours and not completed; the out parameter is valid, the length is optional.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfRequestRetrieveOutputBuffer,
                self.0.handle,
                len,
                &raw mut buffer,
                core::ptr::null_mut(),
            )
        };
        NtStatus(status).ok()?;
        let buffer = buffer.cast::<u8>();
        // SAFETY: the buffer has at least the length that was asked for, and nobody else has a borrow of it.
        unsafe { buffer.write_bytes(0, len) };
        self.0.written = self.0.written.max(len);
        // SAFETY: as above; it is initialised now, and lives until the request is completed.
        Ok(unsafe { core::slice::from_raw_parts_mut(buffer, len) })
    }

    /// Completes the request without output.
    ///
    /// # IRQL
    /// Up to `DISPATCH_LEVEL`.
    pub fn complete(self, status: NtStatus) {
        self.complete_with(status, 0);
    }

    /// Completes the request, returning the first `information` bytes of the output (those that were written,
    /// if less).
    ///
    /// With an error status the program gets no output; with a warning (`STATUS_BUFFER_OVERFLOW`) it does.
    ///
    /// # IRQL
    /// Up to `DISPATCH_LEVEL`.
    pub fn complete_with(self, status: NtStatus, information: usize) {
        let parts = self.into_parts();
        // SAFETY: the request was ours, and is not used again.
        unsafe { complete(parts.handle, status, information.min(parts.written)) };
    }

    /// Completes the request, returning `output`; with `STATUS_BUFFER_TOO_SMALL` and nothing if that does not
    /// fit.
    ///
    /// # IRQL
    /// Up to `DISPATCH_LEVEL`.
    pub fn reply(mut self, status: NtStatus, output: &[u8]) {
        match self.output(output.len()) {
            Ok(buffer) => {
                buffer.copy_from_slice(output);
                self.complete_with(status, output.len());
            }
            Err(status) => self.complete(status),
        }
    }
}

impl<D: Device> Drop for Request<D> {
    fn drop(&mut self) {
        // SAFETY: the request is still ours: whoever gives it up consumes `self` without dropping it.
        unsafe { complete(self.0.handle, NtStatus::UNSUCCESSFUL, 0) };
    }
}

/// Completes a request.
///
/// # Safety
/// The request was passed to this driver, is not cancelable, and is not used again.
pub(super) unsafe fn complete(request: WDFREQUEST, status: NtStatus, information: usize) {
    // SAFETY: passed on to the caller.
    unsafe {
        call_unsafe_wdf_function_binding!(
            WdfRequestCompleteWithInformation,
            request,
            status.0,
            information as u64
        );
    }
}

/// The state of the open that a request was made through.
///
/// # Safety
/// The request is not completed for `'a`, and was made to a device for a `D`.
pub(super) unsafe fn file_state<'a, D: Device>(request: WDFREQUEST) -> Option<&'a D::File> {
    // SAFETY: the request exists.
    let file = unsafe { call_unsafe_wdf_function_binding!(WdfRequestGetFileObject, request) };
    if file.is_null() {
        // Made inside the kernel, without opening the device.
        return None;
    }
    // SAFETY: the file object outlives its requests, and was made with this context.
    let slot: &Slot<D::File> = unsafe { context::context(file.cast(), &context::FILE) };
    // SAFETY: the slot is emptied at close, which comes after the completion of all requests.
    unsafe { slot.get() }
}
