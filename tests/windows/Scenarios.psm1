# The scenarios of this folder: what programs and service control do with both drivers, through nsemail.exe
# and, for malformed requests, through the devices themselves. They follow the list of the crate
# `scenarios`, which runs on the simulated kernel; what needs an operation held in flight is only there.
#
# Each begins and ends with both drivers running. A scenario that fails throws; what it throws is what is
# wrong.

Set-StrictMode -Version 2.0
Import-Module (Join-Path $PSScriptRoot 'Lab.psm1')
Import-Module (Join-Path $PSScriptRoot 'Device.psm1')

$script:Tool = Join-Path $PSScriptRoot 'nsemail.exe'
$script:Names = Join-Path $PSScriptRoot 'names.csv'
$script:Work = $null

# The providers that the INF file seeds.
$script:DefaultProvider = '{7A90D3C4-15E6-4B2F-8C6A-F14D0B92375D}'
$script:ExampleProvider = '{C2B81F06-9D47-4E3A-A1F5-5E08D7643B29}'

$script:NotFound = 10108    # WSASERVICE_NOT_FOUND
$script:NoData = 11004      # WSANO_DATA

function Assert-Equal($Actual, $Expected, [string] $What) {
    if ((@($Actual) -join '|') -ne (@($Expected) -join '|')) {
        throw "${What}: expected $(@($Expected) -join ', '), got $(@($Actual) -join ', ')"
    }
}

# Runs the tool, which has to end with one of the codes in -Expect, and answers what it printed.
function Invoke-Tool {
    param(
        [Parameter(Mandatory = $true)] [string[]] $Arguments,
        [int[]] $Expect = @(0)
    )
    return Read-Answer (Invoke-Program -Path $script:Tool -Arguments (@('--json') + $Arguments)) $Expect
}

function Start-Tool([string[]] $Arguments) {
    return Start-Program -Path $script:Tool -Arguments (@('--json') + $Arguments)
}

function Read-Answer($Result, [int[]] $Expect = @(0)) {
    if ($Expect -notcontains $Result.ExitCode) {
        throw "$($Result.Command) ended with $($Result.ExitCode): $($Result.Error)"
    }
    $document = $null
    if ($Result.Output.Trim()) { $document = $Result.Output | ConvertFrom-Json }
    return [pscustomobject]@{ ExitCode = $Result.ExitCode; Document = $document; Error = $Result.Error }
}

# The Winsock code with which a command failed, or 0.
function Get-Code($Answer) {
    if ($null -eq $Answer.Document -or $null -eq $Answer.Document.PSObject.Properties['error']) { return 0 }
    return $Answer.Document.error.code
}

function Register-Name([string] $Name, [string[]] $Addresses, [switch] $Multiple) {
    $arguments = @('register', $Name)
    if ($Multiple) { $arguments += '--multiple' }
    foreach ($address in $Addresses) { $arguments += @('--addr', $address) }
    return (Invoke-Tool $arguments).Document
}

# The record of a name that has to be there.
function Get-Record([string] $Name) {
    return (Invoke-Tool @('lookup', $Name)).Document.results[0].records[0]
}

function Assert-Missing([string] $Name, [int] $Code) {
    Assert-Equal (Get-Code (Invoke-Tool @('lookup', $Name) -Expect @(1))) $Code "looking $Name up"
}

function Remove-Name([string] $Name) {
    $null = Invoke-Tool @('delete', '--yes', $Name) -Expect @(0, 1)
}

# The provider driver loads its stores after it was started, and registers each when it is loaded.
function Wait-Attached {
    $until = (Get-Date).AddSeconds(60)
    do {
        $answer = Invoke-Tool @('providers') -Expect @(0, 4)
        if ($answer.ExitCode -eq 0) {
            $attached = @($answer.Document.providers | Where-Object { $_.attached })
            if ($attached.Count -ge 2) { return }
        }
        Start-Sleep -Milliseconds 100
    } while ((Get-Date) -lt $until)
    throw 'the seeded providers are not attached after 60 s'
}

function Start-Both([string[]] $Order = (Get-DriverName)) {
    foreach ($driver in $Order) { $null = Start-Driver $driver }
    Wait-Attached
}

function Stop-Both([string[]] $Order = @('nsemail_client', 'nsemail_provider')) {
    foreach ($driver in $Order) { Stop-Driver $driver }
}

# A counter of a driver.
function Get-Counter([string] $Driver, [string] $Counter) {
    $counters = (Invoke-Tool @('statistics', '--driver', $Driver)).Document.counters
    return @($counters | Where-Object { $_.driver -eq $Driver -and $_.counter -eq $Counter })[0].value
}

# Runs something while four programs look a name up without a pause. Answers how often each exit code
# was seen.
function Invoke-UnderLoad([string] $Name, [string] $Address, [scriptblock] $Action) {
    $stop = Join-Path $script:Work "stop-$([Guid]::NewGuid())"
    $powershell = (Get-Process -Id $PID).Path
    $arguments = @(
        '-NoProfile', '-ExecutionPolicy', 'Bypass', '-File', (Join-Path $PSScriptRoot 'load.ps1'),
        '-Tool', $script:Tool, '-Name', $Name, '-Address', $Address, '-StopFile', $stop
    )
    $programs = @(1..4 | ForEach-Object { Start-Program -Path $powershell -Arguments $arguments })
    $failure = $null
    try {
        Start-Sleep -Seconds 2
        $null = & $Action
        Start-Sleep -Seconds 1
    } catch {
        $failure = $_
    }
    Set-Content -LiteralPath $stop -Value 'stop'
    $ended = @{}
    foreach ($program in $programs) {
        $result = Wait-Program $program
        Assert-Equal $result.ExitCode 0 "a program that looks up says $($result.Error)"
        $tally = $result.Output | ConvertFrom-Json
        Assert-Equal @($tally.wrong) @() 'an address that was never registered'
        foreach ($entry in $tally.ended.PSObject.Properties) { $ended[$entry.Name] = $entry.Value + $ended[$entry.Name] }
    }
    if ($failure) { throw $failure }
    return $ended
}

$script:Scenarios = [ordered]@{}

$script:Scenarios['a name is found until it is deregistered and known until it is deleted'] = {
    Assert-Missing 'lab.one@example.com' $script:NotFound
    $addresses = @('192.0.2.7:5060/tcp', '[2001:db8::7]:5060/udp')
    Assert-Equal (Register-Name 'lab.one@example.com' $addresses).added 2 'addresses added'
    # The case of letters is no part of a name.
    Assert-Equal (Get-Record 'LAB.One@Example.COM').addresses $addresses 'the addresses'
    $null = Invoke-Tool @('deregister', 'lab.one@example.com')
    Assert-Missing 'lab.one@example.com' $script:NoData
    $null = Invoke-Tool @('delete', '--yes', 'lab.one@example.com')
    Assert-Missing 'lab.one@example.com' $script:NotFound
}

$script:Scenarios['single addresses are added and removed'] = {
    $null = Register-Name 'lab.two@example.com' @('192.0.2.1:1/tcp')
    $null = Register-Name 'lab.two@example.com' @('192.0.2.2:2/tcp') -Multiple
    $null = Invoke-Tool @('deregister', 'lab.two@example.com', '--multiple', '--addr', '192.0.2.1:1/tcp')
    Assert-Equal (Get-Record 'lab.two@example.com').addresses @('192.0.2.2:2/tcp') 'what is left'
    Remove-Name 'lab.two@example.com'
}

$script:Scenarios['each provider answers for the domains that it claims'] = {
    $expected = @{
        'lab@example.com'     = $script:DefaultProvider
        'lab@example.net'     = $script:ExampleProvider
        'lab@unclaimed.test' = $script:DefaultProvider
    }
    foreach ($name in $expected.Keys) {
        $null = Register-Name $name @('192.0.2.9:25/tcp')
        Assert-Equal (Get-Record $name).provider $expected[$name] "the provider of $name"
        Remove-Name $name
    }
}

$script:Scenarios['names survive a restart of the drivers'] = {
    $null = Register-Name 'lab.kept@example.com' @('192.0.2.3:3/udp')
    Stop-Both
    Start-Both
    Assert-Equal (Get-Record 'lab.kept@example.com').addresses @('192.0.2.3:3/udp') 'the address'
    Remove-Name 'lab.kept@example.com'
}

$script:Scenarios['what is exported can be imported again'] = {
    $null = Invoke-Tool @('import', $script:Names)
    $first = Join-Path $script:Work 'first.csv'
    $second = Join-Path $script:Work 'second.csv'
    $null = Invoke-Tool @('export', '--output', $first)
    $null = Invoke-Tool @('import', $first)
    $null = Invoke-Tool @('export', '--output', $second)
    Assert-Equal (Get-FileHash $second).Hash (Get-FileHash $first).Hash 'the second export'
    foreach ($record in Import-Csv -LiteralPath $script:Names -Encoding UTF8) {
        $arguments = @('delete', '--yes', $record.name)
        if ($record.service) { $arguments += @('--service', $record.service) }
        $null = Invoke-Tool $arguments -Expect @(0, 1)
    }
}

$script:Scenarios['several programs get their own answers'] = {
    $names = @(1..8 | ForEach-Object { "lab.program$_@example.com" })
    foreach ($index in 0..7) { $null = Register-Name $names[$index] @("192.0.2.$($index + 1):80/tcp") }
    $programs = @()
    foreach ($round in 1..4) {
        $programs += @($names | ForEach-Object { Start-Tool @('lookup', $_, '--stepwise') })
    }
    foreach ($index in 0..($programs.Count - 1)) {
        $record = (Read-Answer (Wait-Program $programs[$index])).Document.results[0].records[0]
        Assert-Equal $record.addresses @("192.0.2.$(($index % 8) + 1):80/tcp") "the answer for $($record.name)"
    }
    $names | ForEach-Object { Remove-Name $_ }
}

$script:Scenarios['additions from many programs all hold'] = {
    Remove-Name 'lab.many@example.com'
    $addresses = @(1..16 | ForEach-Object { "198.51.100.$($_):443/tcp" })
    $programs = @($addresses | ForEach-Object { Start-Tool @('register', 'lab.many@example.com', '--multiple', '--addr', $_) })
    foreach ($program in $programs) { $null = Read-Answer (Wait-Program $program) }
    Assert-Equal @((Get-Record 'lab.many@example.com').addresses | Sort-Object) @($addresses | Sort-Object) 'the addresses'
    Remove-Name 'lab.many@example.com'
}

$script:Scenarios['the drivers start and stop in any order under traffic'] = {
    $null = Register-Name 'lab.order@example.com' @('192.0.2.4:4/tcp')
    $provider = 'nsemail_provider'
    $client = 'nsemail_client'
    foreach ($up in @($provider, $client), @($client, $provider)) {
        foreach ($down in @($provider, $client), @($client, $provider)) {
            Stop-Both
            Start-Both $up
            $null = Invoke-UnderLoad 'lab.order@example.com' '192.0.2.4:4/tcp' {
                # A stop waits for the handles of its driver's device; programs open and close theirs.
                foreach ($driver in $down) { Stop-Driver $driver }
            }
            Start-Both
        }
    }
    Assert-Equal (Get-Record 'lab.order@example.com').addresses @('192.0.2.4:4/tcp') 'the address'
    Remove-Name 'lab.order@example.com'
}

$script:Scenarios['look-ups while the provider stops have the right answer or none'] = {
    $null = Register-Name 'lab.load@example.com' @('192.0.2.5:5/tcp')
    $ended = Invoke-UnderLoad 'lab.load@example.com' '192.0.2.5:5/tcp' {
        foreach ($round in 1..10) {
            Stop-Driver 'nsemail_provider'
            $null = Start-Driver 'nsemail_provider'
        }
        Wait-Attached
    }
    $strange = @($ended.Keys | Where-Object { $_ -notin @('0', '1') })
    Assert-Equal $strange @() 'other ends than found and not found'
    if (-not $ended.ContainsKey('0')) { throw 'no program ever found the name' }
    Remove-Name 'lab.load@example.com'
}

$script:Scenarios['a stop waits for the last handle and the device works until then'] = {
    $device = Open-Device
    try {
        Stop-Driver 'nsemail_client' -MayWait
        Assert-Equal (Get-DriverState 'nsemail_client') 'Stop Pending' 'the service'
        # PROVIDERS: a header only, with its own size and version 1.
        $answer = Send-Request $device (Get-ControlCode 0x806 1) -Request ([byte[]] (8, 0, 0, 0, 1, 0, 0, 0))
        Assert-Equal $answer.Error 0 'the device that is about to go'
    } finally {
        $device.Dispose()
    }
    $null = Wait-DriverState -Service 'nsemail_client' -State Stopped
    Start-Both
}

$script:Scenarios['killing a program leaves whole names and runs its session down'] = {
    $file = Join-Path $script:Work 'large.csv'
    $lines = @('name,service,addresses,comment,version,blob')
    $lines += @(1..20000 | ForEach-Object { "lab.killed$_@example.com,,192.0.2.6:6/tcp,,," })
    Set-Content -LiteralPath $file -Value $lines -Encoding ASCII
    foreach ($delay in 200, 500, 900) {
        $program = Start-Tool @('import', $file)
        Start-Sleep -Milliseconds $delay
        try { $program.Process.Kill() } catch { Write-Warning "it had ended after $delay ms" }
        $null = Wait-Program $program
        # The kernel ends a process after it was killed; the session of its handle with it. The one that
        # is left is that of the program which asks.
        $until = (Get-Date).AddSeconds(60)
        while ((Get-Counter 'client' 'sessions') -gt 1) {
            if ((Get-Date) -gt $until) { throw 'the session of the killed program is still there' }
            Start-Sleep -Milliseconds 100
        }
    }
    $kept = Join-Path $script:Work 'kept.csv'
    $null = Invoke-Tool @('export', '--output', $kept)
    $killed = @(Import-Csv -LiteralPath $kept | Where-Object { $_.name -like 'lab.killed*' })
    $torn = @($killed | Where-Object { $_.addresses -ne '192.0.2.6:6/tcp' })
    Assert-Equal $torn.Count 0 'names without their address'
    foreach ($record in $killed | Select-Object -First 100) { $null = Get-Record $record.name }
    # They stay: the next round registers the same ones again.
}

$script:Scenarios['malformed requests are refused and do no harm'] = {
    $before = Get-Counter 'client' 'malformed-requests'
    $device = Open-Device
    try {
        Assert-Equal (Send-Request $device (Get-ControlCode 0x900 1)).Error 1 'an unknown code'
        $lookup = Get-ControlCode 0x803 1
        Assert-Equal (Send-Request $device $lookup -Room 0).Error 122 'no room for a header'
        Assert-Equal (Send-Request $device $lookup).Error 87 'an empty request'
        # A handle to read with must not change anything.
        Assert-Equal (Send-Request $device (Get-ControlCode 0x805 2) -Request ([byte[]]::new(64))).Error 5 'a change through a handle to read'
        $random = New-Object Random 20041
        foreach ($round in 1..5000) {
            $request = [byte[]]::new($random.Next(0, 512))
            $random.NextBytes($request)
            # A header that is right, with size and version, lets the noise get further.
            if ($request.Length -ge 8 -and $random.Next(4)) {
                [Array]::Resize([ref] $request, $request.Length - $request.Length % 8)
                [BitConverter]::GetBytes($request.Length).CopyTo($request, 0)
                [BitConverter]::GetBytes(1).CopyTo($request, 4)
            }
            $code = Get-ControlCode (0x800 + $random.Next(0, 16)) 1
            $room = @(0, 15, 16, 64, 4096)[$random.Next(5)]
            $answer = Send-Request $device $code -Request $request -Room $room
            if ($answer.Error -notin @(0, 1, 5, 87, 122)) { throw "noise is answered with $(Format-Code $answer.Error)" }
            if ($answer.Returned -gt $room) { throw 'more came back than there was room for' }
        }
    } finally {
        $device.Dispose()
    }
    if ((Get-Counter 'client' 'malformed-requests') -le $before) { throw 'the driver counted no malformed request' }
    Wait-Attached
}

# Everything at once while memory fails: no answer is wrong, only absent, and the machine stays up. What
# holds afterwards is checked when memory no longer fails.
function Invoke-Churn([int] $Rounds) {
    $lost = 0
    foreach ($round in 1..$Rounds) {
        $name = "lab.churn$($round % 16)@example.com"
        $address = "203.0.113.$($round % 200):7/tcp"
        foreach ($arguments in @('register', $name, '--addr', $address), @('lookup', $name), @('delete', '--yes', $name)) {
            $answer = Invoke-Tool $arguments -Expect @(0, 1, 4, 5)
            if ($answer.ExitCode -eq 5) { $lost++ }
            if ($answer.ExitCode -eq 0 -and $arguments[0] -eq 'lookup') {
                $record = $answer.Document.results[0].records[0]
                if ($record.name -ne $name) { throw "$name was looked up, $($record.name) found" }
            }
        }
        if ($round % 10 -eq 0) {
            foreach ($driver in 'nsemail_client', 'nsemail_provider') { Stop-Driver $driver }
            foreach ($driver in Get-DriverName) {
                $started = $false
                foreach ($attempt in 1..50) {
                    if (Start-Driver $driver -MayFail) { $started = $true; break }
                }
                if (-not $started) { Write-Warning "$driver did not start in 50 attempts, for want of memory" }
            }
        }
    }
    Write-Host "   $lost calls were refused for want of memory"
}

# Runs the list once. Answers one result a scenario, and goes on after a failure if both drivers can be
# brought back.
function Invoke-ScenarioList([string] $Work, [string] $Only = '*') {
    $script:Work = $Work
    $null = New-Item -ItemType Directory -Force -Path $Work
    foreach ($name in $script:Scenarios.Keys) {
        if ($name -notlike $Only) { continue }
        $watch = [Diagnostics.Stopwatch]::StartNew()
        $message = ''
        try {
            Start-Both
            $null = & $script:Scenarios[$name]
        } catch {
            $message = "$_`n$($_.ScriptStackTrace)"
        }
        $seconds = [Math]::Round($watch.Elapsed.TotalSeconds, 1)
        $verdict = if ($message) { 'FAILED' } else { 'ok' }
        Write-Host ("   {0,-6} {1,6} s  {2}" -f $verdict, $seconds, $name)
        if ($message) { Write-Host $message }
        [pscustomobject]@{ Scenario = $name; Passed = -not $message; Seconds = $seconds; Message = $message }
    }
}

Export-ModuleMember -Function @('Invoke-ScenarioList', 'Invoke-Churn', 'Start-Both', 'Stop-Both')
