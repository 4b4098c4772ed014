/* What is needed of ntifs.h is declared in this project's ntddk.h. */
#include <ntddk.h>
