/*
 * FxDriverEntry: the entry point of a KMDF driver image. It binds the image to the framework, and
 * only then calls the driver. On Windows it comes from WdfDriverEntry.lib.
 *
 * Freestanding: nothing is included, the few types are written out.
 */
typedef long NTSTATUS;
typedef unsigned long ULONG;
typedef unsigned short WCHAR;

struct DRIVER_OBJECT;
struct UNICODE_STRING;
typedef void (*WDFFUNC)(void);

struct WDF_BIND_INFO {
    ULONG Size;
    const WCHAR *Component;
    struct {
        ULONG Major;
        ULONG Minor;
        ULONG Build;
    } Version;
    ULONG FuncCount;
    const WDFFUNC **FuncTable;
    void *Module;
};

/* What the bindings of wdk-sys look for. */
const WDFFUNC *WdfFunctions_01031;
void *WdfDriverGlobals;
ULONG WdfFunctionCount = 458;

extern NTSTATUS DriverEntry(struct DRIVER_OBJECT *driver, struct UNICODE_STRING *registry_path);
__declspec(dllimport) NTSTATUS WdfVersionBind(
    struct DRIVER_OBJECT *driver,
    struct UNICODE_STRING *registry_path,
    struct WDF_BIND_INFO *info,
    void **globals);
__declspec(dllimport) NTSTATUS WdfVersionUnbind(
    struct UNICODE_STRING *registry_path,
    struct WDF_BIND_INFO *info,
    void *globals);

static struct WDF_BIND_INFO bind_info = {
    sizeof(struct WDF_BIND_INFO), L"KmdfLibrary", {1, 31, 0}, 458, &WdfFunctions_01031, 0,
};

NTSTATUS FxDriverEntry(struct DRIVER_OBJECT *driver, struct UNICODE_STRING *registry_path)
{
    NTSTATUS status = WdfVersionBind(driver, registry_path, &bind_info, &WdfDriverGlobals);
    if (status < 0) {
        return status;
    }
    status = DriverEntry(driver, registry_path);
    if (status < 0) {
        WdfVersionUnbind(registry_path, &bind_info, WdfDriverGlobals);
    }
    return status;
}
