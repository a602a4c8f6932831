/*
 * System call filters. The ops keep a filter, `exec` loads it as its last call before execve(), so that the filter need not
 * allow anything that we do ourselves. But for sendmsg(), when the filter has a listener: its descriptor comes into being with
 * the filter, and closes with exec.
 */
#include "executor.h"

#include <linux/filter.h>
#include <linux/seccomp.h>

/* The control message of one descriptor, as sendmsg() takes it (struct cmsghdr, whose header is a C library's). */
struct descriptor_message {
	size_t length;
	int level;
	int type;
	int fd;
	int padding;
};
#define SOL_SOCKET_LEVEL 1
#define RIGHTS 1

struct message_header {
	void *name;
	uint32_t name_size;
	struct {
		const void *base;
		size_t size;
	} *parts;
	size_t part_count;
	void *control;
	size_t control_size;
	int flags;
};

struct unix_address {
	uint16_t family;
	char path[108];
};

#define STATE_BYTES 65536

/* The filter that is kept: its op's index too, since a failure to load it is not that of `exec`. */
static struct {
	struct sock_fprog program;
	uint64_t flags;
	uint32_t index;
	/* NULL without a listener. */
	char **message;
} kept;

int op_open_listener(const struct op_open_listener *op)
{
	struct unix_address address = { .family = AF_UNIX };
	size_t size = strlen(op->path);

	if (size >= sizeof(address.path))
		return -ENAMETOOLONG;
	memcpy(address.path, op->path, size);
	int fd OWNED = SYS(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	TRY(fd);
	TRY(SYS(connect, fd, &address, sizeof(address)));
	close_fd(&self.listener);
	self.listener = fd;
	fd = -1;
	return 0;
}

static int keep_filter(const uint8_t *bytes, uint32_t length, uint64_t flags)
{
	uint32_t count = length / (uint32_t)sizeof(struct sock_filter);

	if (length % sizeof(struct sock_filter) != 0 || count == 0 || count > BPF_MAXINSNS)
		return -EINVAL;
	kept.program.filter = (struct sock_filter *)(uintptr_t)bytes;
	kept.program.len = (uint16_t)count;
	kept.flags = flags;
	kept.index = self.index;
	kept.message = NULL;
	return 0;
}

int op_seccomp(const struct op_seccomp *op)
{
	return keep_filter(op->filter.bytes, op->filter.length, op->flags);
}

int op_seccomp_listener(const struct op_seccomp_listener *op)
{
	if (self.listener < 0)
		return -ENOTCONN;
	TRY(keep_filter(op->filter.bytes, op->filter.length, op->flags | SECCOMP_FILTER_FLAG_NEW_LISTENER));
	kept.message = op->message;
	return 0;
}

bool has_filter(void)
{
	return kept.program.len > 0;
}

/* Joins the parts of the message by our pid into `out`. Returns its size, or -E2BIG. */
static int write_message(char *out, size_t room)
{
	size_t size = 0;

	for (char **part = kept.message; *part != NULL; part++) {
		size_t length = strlen(*part);

		if (length + 11 > room - size)
			return -E2BIG;
		memcpy(out + size, *part, length);
		size += length;
		if (part[1] != NULL)
			size += format_decimal(out + size, self.pid_outside);
	}
	return (int)size;
}

/* Sends `fd` with the first byte, and all of `text`. KERNEL: a stream takes less than all at once only after a signal. */
static int send_descriptor(int fd, char *text, size_t size)
{
	struct descriptor_message control = { .length = offsetof(struct descriptor_message, padding),
					      .level = SOL_SOCKET_LEVEL,
					      .type = RIGHTS,
					      .fd = fd };
	struct message_header header = { .part_count = 1, .control = &control, .control_size = control.length };

	for (size_t sent = 0; sent < size;) {
		typeof(*header.parts) part = { .base = text + sent, .size = size - sent };
		int result;

		header.parts = &part;
		result = SYS(sendmsg, self.listener, &header, MSG_NOSIGNAL);
		if (result == -EINTR)
			continue;
		TRY(result);
		sent += (size_t)result;
		header.control = NULL;
		header.control_size = 0;
	}
	return 0;
}

/* Called right before execve(). What fails from here on is the filter's fault, and may be hard to tell: it is in force. */
int load_filter(void)
{
	static char text[STATE_BYTES];
	uint32_t index = self.index;
	int size = 0;
	int fd;

	self.index = kept.index;
	if (kept.message != NULL)
		TRY(size = write_message(text, sizeof(text)));
	fd = SYS(seccomp, SECCOMP_SET_MODE_FILTER, kept.flags, &kept.program);
	TRY(fd);
	if (kept.message != NULL)
		TRY(send_descriptor(fd, text, (size_t)size));
	self.index = index;
	return 0;
}
