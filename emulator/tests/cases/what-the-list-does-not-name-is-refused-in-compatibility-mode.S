/* SPDX-License-Identifier: GPL-2.0-only */
/* The same as what-the-list-does-not-name-is-refused in compatibility mode. */
#define WALK_COMPAT
#define LEAST_REFUSED	100000
#define LEAST_ALLOWED	10000
#include "walk.h"
