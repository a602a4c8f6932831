/* Reports to the caller: 16 bytes on descriptor 4 (docs/program-format.md#reports). */
#ifndef GANTRY_REPORT_H
#define GANTRY_REPORT_H

#include "kernel.h"

enum report_kind {
	REPORT_STARTED = 1,
	REPORT_CREATED = 2,
	REPORT_EXITED = 3,
	REPORT_FAILED = 4,
	REPORT_WARNED = 5,
	REPORT_FINISHED = 6,
	REPORT_MALFORMED = 7,
	REPORT_REACHED = 8,
};

/* The op index of a failure that came before the first op. */
#define NO_OP UINT32_MAX

void report(uint32_t kind, uint32_t index, uint32_t value);

#endif
