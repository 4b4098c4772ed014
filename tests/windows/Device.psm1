# Opens the drivers' devices and sends them requests, also such as nsemail.exe would never send.

Set-StrictMode -Version 2.0

Add-Type -TypeDefinition @'
using System;
using System.ComponentModel;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

public static class NsEmailDevice
{
    [DllImport("kernel32.dll", CharSet = CharSet.Unicode, SetLastError = true)]
    private static extern SafeFileHandle CreateFileW(
        string name, uint access, uint share, IntPtr security, uint disposition, uint flags, IntPtr template);

    [DllImport("kernel32.dll", SetLastError = true)]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static extern bool DeviceIoControl(
        SafeFileHandle device, uint code, byte[] input, uint inputLength, byte[] output, uint outputLength,
        out uint returned, IntPtr overlapped);

    private const uint Read = 0x80000000, Write = 0x40000000, ShareAll = 3, OpenExisting = 3;

    public static SafeFileHandle Open(string path, bool write)
    {
        uint access = write ? Read | Write : Read;
        SafeFileHandle handle = CreateFileW(path, access, ShareAll, IntPtr.Zero, OpenExisting, 0, IntPtr.Zero);
        if (handle.IsInvalid) { throw new Win32Exception(); }
        return handle;
    }

    // Answers the Win32 code and how many bytes came back.
    public static long[] Control(SafeFileHandle device, uint code, byte[] input, byte[] output)
    {
        uint returned;
        bool done = DeviceIoControl(
            device, code, input, (uint)input.Length, output, (uint)output.Length, out returned, IntPtr.Zero);
        return new long[] { done ? 0 : Marshal.GetLastWin32Error(), returned };
    }
}
'@

# The control code of a function, as CTL_CODE makes it: METHOD_BUFFERED, access 1 to read and 2 to write.
function Get-ControlCode([int] $Function, [int] $Access) {
    return [uint32] (0x80370000L -bor ($Access * 0x4000) -bor ($Function * 4))
}

function Open-Device {
    param(
        [string] $Path = '\\.\NsEmail',
        [switch] $Write
    )
    return [NsEmailDevice]::Open($Path, [bool] $Write)
}

function Send-Request {
    param(
        [Parameter(Mandatory = $true)] $Device,
        [Parameter(Mandatory = $true)] [uint32] $Code,
        [byte[]] $Request = [byte[]]::new(0),
        [int] $Room = 4096
    )
    $output = [byte[]]::new($Room)
    $answer = [NsEmailDevice]::Control($Device, $Code, $Request, $output)
    return [pscustomobject]@{ Error = [int] $answer[0]; Returned = [int] $answer[1]; Bytes = $output }
}

Export-ModuleMember -Function @('Get-ControlCode', 'Open-Device', 'Send-Request')
