/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every encoding of 64-bit mode that the allow list does not name raises #GP(0)
 * in deprivileged mode, whether or not the processor has the instruction, and
 * changes nothing.  None that it names is refused.
 */
#define LEAST_REFUSED	200000
#define LEAST_ALLOWED	20000
#include "walk.h"
