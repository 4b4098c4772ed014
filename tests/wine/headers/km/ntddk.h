/*
 * ntddk.h for the build without the WDK: mingw-w64's kernel headers, and what they are too old for.
 *
 * Only bindgen reads this. Prototypes and values are those of the pages of the Windows driver
 * documentation under the same names.
 */
#ifndef NSEMAIL_NTDDK_H
#define NSEMAIL_NTDDK_H

#include <ntdef.h>

/* The checks in mingw-w64's wdm.h need an integer constant, which a cast of a pointer is not. */
#undef FIELD_OFFSET
#define FIELD_OFFSET(type, field) ((LONG)__builtin_offsetof(type, field))

/* An inline function there; the WDK declares an export, and bindgen makes no bindings of inline functions. */
#define KeGetCurrentIrql nsemail_inline_KeGetCurrentIrql
#include <ddk/ntddk.h>
#undef KeGetCurrentIrql
NTHALAPI KIRQL NTAPI KeGetCurrentIrql(VOID);

/* Pool, Windows 10 2004. The suffix is the WDK's: bindgen cannot read it, and wdk-sys has its own constants. */
typedef ULONG64 POOL_FLAGS;
#define POOL_FLAG_UNINITIALIZED 0x0000000000000002UI64
#define POOL_FLAG_NON_PAGED 0x0000000000000040UI64
#define POOL_FLAG_PAGED 0x0000000000000100UI64

NTKERNELAPI PVOID NTAPI ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag);

/* Push locks, Windows 10 1709. */
#ifndef EX_DEFAULT_PUSH_LOCK_FLAGS
#define EX_DEFAULT_PUSH_LOCK_FLAGS 0x00000000
#endif

NTKERNELAPI VOID NTAPI ExInitializePushLock(PULONG_PTR PushLock);
NTKERNELAPI VOID NTAPI ExAcquirePushLockExclusiveEx(PULONG_PTR PushLock, ULONG Flags);
NTKERNELAPI VOID NTAPI ExAcquirePushLockSharedEx(PULONG_PTR PushLock, ULONG Flags);
NTKERNELAPI VOID NTAPI ExReleasePushLockExclusiveEx(PULONG_PTR PushLock, ULONG Flags);
NTKERNELAPI VOID NTAPI ExReleasePushLockSharedEx(PULONG_PTR PushLock, ULONG Flags);

/* Time, Windows 8. */
NTKERNELAPI VOID NTAPI KeQuerySystemTimePrecise(PLARGE_INTEGER CurrentTime);

/* A driver's own folders, Windows 10 1809. */
typedef enum _DRIVER_DIRECTORY_TYPE {
    DriverDirectoryImage = 0,
    DriverDirectoryData = 1,
    DriverDirectorySharedData = 2
} DRIVER_DIRECTORY_TYPE, *PDRIVER_DIRECTORY_TYPE;

NTKERNELAPI NTSTATUS NTAPI IoGetDriverDirectory(
    PDRIVER_OBJECT DriverObject,
    DRIVER_DIRECTORY_TYPE DirectoryType,
    ULONG Flags,
    PHANDLE DriverDirectoryHandle);

/* In ntifs.h, which cannot be included beside mingw-w64's ntddk.h. */
NTSYSAPI NTSTATUS NTAPI ZwFlushBuffersFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock);

#endif
