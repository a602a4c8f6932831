/* Records of trees (docs/program-format.md): how survey.c and survey-data.c put them together and write them to descriptor 1. */
#ifndef GANTRY_SURVEY_H
#define GANTRY_SURVEY_H

#include "executor.h"

enum { LISTED_ENTRY = 1, LISTED_DIRECTORY = 2, LISTED_ABSENT = 3, DATA_BEGINS = 4, DATA_ENDED = 5, COMPARED = 6 };

/* What precedes name, link target and extended attributes of a record; zero bytes up to a multiple of 8 follow. */
struct listed {
	uint32_t length;
	uint16_t kind;
	uint16_t name_length;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	uint32_t links;
	uint32_t node_major;
	uint32_t node_minor;
	uint32_t device_major;
	uint32_t device_minor;
	uint64_t size;
	uint64_t ino;
	int64_t modified_seconds;
	int64_t changed_seconds;
	uint32_t modified_nanos;
	uint32_t changed_nanos;
	uint32_t target_length;
	uint32_t xattrs_length;
	uint32_t status;
	uint32_t zero;
};

struct data_piece {
	uint64_t offset;
	uint32_t length;
	uint32_t zero;
};

/* survey.c */
void survey_begin(void);
int survey_flush(void);
char *survey_room(uint32_t size);
int survey_add(uint32_t *start, const void *bytes, size_t size);
void survey_describe(struct listed *record, const struct statx *found);
int survey_put(struct listed *record, const char *name, const char *entry);

#endif
