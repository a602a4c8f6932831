/* Where and when a process runs, where its memory comes from, and which keys it finds. */
#include "executor.h"

#include <linux/keyctl.h>
#include <linux/sched/types.h>

#define WORD_BYTES 8
/* <linux/ioprio.h> is newer than some headers. */
#define IO_PRIORITY_OF_PROCESS 1

/* Headers from before 5.3 lack the fields of version 1, which the kernel takes since then. */
#ifndef SCHED_ATTR_SIZE_VER1
#error "linux/sched/types.h of Linux 5.3 or later is needed"
#endif

int op_scheduler(const struct op_scheduler *op)
{
	struct sched_attr attributes = {
		.size = SCHED_ATTR_SIZE_VER1,
		.sched_policy = op->policy,
		.sched_flags = op->flags,
		.sched_nice = (int32_t)op->nice,
		.sched_priority = op->priority,
		.sched_runtime = op->runtime,
		.sched_deadline = op->deadline,
		.sched_period = op->period,
	};

	return SYS(sched_setattr, 0, &attributes, 0);
}

int op_io_priority(const struct op_io_priority *op)
{
	return SYS(ioprio_set, IO_PRIORITY_OF_PROCESS, 0, op->value);
}

int op_personality(const struct op_personality *op)
{
	/* It returns the old value. */
	TRY(SYS(personality, op->value));
	return 0;
}

int op_memory_policy(const struct op_memory_policy *op)
{
	const uint8_t *nodes = op->nodes.length == 0 ? NULL : op->nodes.bytes;

	if (op->nodes.length % WORD_BYTES != 0)
		return -EINVAL;
	/* KERNEL: get_nodes() in mm/mempolicy.c takes one bit less than it is told of. */
	return SYS(set_mempolicy, op->mode, nodes, nodes == NULL ? 0 : op->nodes.length * 8 + 1);
}

int op_cpu_affinity(const struct op_cpu_affinity *op)
{
	if (op->cpus.length % WORD_BYTES != 0)
		return -EINVAL;
	return SYS(sched_setaffinity, 0, op->cpus.length, op->cpus.bytes);
}

/* The permissions in a key's description "type;uid;gid;permissions;name", which are in hexadecimal; -EPROTO without. */
static int read_permissions(const char *text, uint32_t *permissions)
{
	int fields = 0;

	*permissions = 0;
	for (; *text != '\0' && fields < 4; text++) {
		char c = *text;

		if (c == ';')
			fields++;
		else if (fields == 3 && c >= '0' && c <= '9')
			*permissions = *permissions << 4 | (uint32_t)(c - '0');
		else if (fields == 3 && c >= 'a' && c <= 'f')
			*permissions = *permissions << 4 | (uint32_t)(c - 'a' + 10);
	}
	return fields == 4 ? 0 : -EPROTO;
}

int op_session_keyring(const struct op_session_keyring *op)
{
	char description[512];
	uint32_t permissions;
	int key = SYS(keyctl, KEYCTL_JOIN_SESSION_KEYRING, op->name);
	int size;

	if (key == -ENOSYS)
		return 0;
	TRY(key);
	size = SYS(keyctl, KEYCTL_DESCRIBE, key, description, sizeof(description));
	TRY(size);
	/* It counts the NUL, and tells what it would need when that is more. */
	if ((size_t)size > sizeof(description))
		return -ENAMETOOLONG;
	TRY(read_permissions(description, &permissions));
	return SYS(keyctl, KEYCTL_SETPERM, key, permissions | op->permissions);
}
