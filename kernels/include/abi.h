// The version of the launch ABI. Raise it whenever a parameter struct or the meaning of a field changes: a library and
// kernels of different versions refuse each other.
#pragma once
#define DIS_ABI_VERSION 3
