/* Descriptors on their way: to another process over a socket, from the caller to the container. */
#include "executor.h"

#include <linux/un.h>

/* The kernel's limit on the path of a socket, with its NUL. */
#define SOCKET_PATH_BYTES sizeof(((struct sockaddr_un *)NULL)->sun_path)

/* Sends `size` bytes as one message, with `fd` unless it is -1. -EPIPE when nobody is there. */
int send_message(int socket, const void *bytes, size_t size, int fd)
{
	struct passed_descriptor passed = {
		.size = PASSED_DESCRIPTOR_BYTES,
		.level = SOL_SOCKET,
		.type = SCM_RIGHTS,
		.fd = fd,
	};
	struct message_part part = { .bytes = (void *)(uintptr_t)bytes, .size = size };
	struct message_parts message = { .parts = &part, .part_count = 1 };
	int sent;

	if (fd >= 0) {
		message.control = &passed;
		message.control_size = sizeof(passed);
	}
	sent = SYS(sendmsg, socket, &message, MSG_NOSIGNAL);
	TRY(sent);
	return (size_t)sent == size ? 0 : -EMSGSIZE;
}

/* Receives one message of up to `size` bytes; a descriptor that came with it is the caller's, else `*fd` is -1. */
int receive_message(int socket, void *bytes, size_t size, uint32_t flags, int *fd)
{
	struct passed_descriptor passed = { .fd = -1 };
	struct message_part part = { .bytes = bytes, .size = size };
	struct message_parts message = {
		.parts = &part,
		.part_count = 1,
		.control = &passed,
		.control_size = sizeof(passed),
	};
	int taken = SYS(recvmsg, socket, &message, flags | MSG_CMSG_CLOEXEC);

	*fd = -1;
	if (taken >= 0 && message.control_size >= PASSED_DESCRIPTOR_BYTES && passed.level == SOL_SOCKET &&
	    passed.type == SCM_RIGHTS)
		*fd = passed.fd;
	return taken;
}

/* Fills `address` so that it leads to `path`, through `directory` when that is too long. */
static int name_socket(struct sockaddr_un *address, const char *path, int directory, const char *name)
{
	char *to = address->sun_path;
	size_t size = strlen(path);
	size_t at = 14;

	address->sun_family = AF_UNIX;
	if (size < SOCKET_PATH_BYTES) {
		memcpy(to, path, size + 1);
		return 0;
	}
	memcpy(to, "/proc/self/fd/", at);
	at += format_decimal(to + at, (uint32_t)directory);
	to[at++] = '/';
	size = strlen(name);
	if (at + size >= SOCKET_PATH_BYTES)
		return -ENAMETOOLONG;
	memcpy(to + at, name, size + 1);
	return 0;
}

/* A connection to the stream socket at the host path `path`. */
static int connect_socket(const char *path)
{
	struct sockaddr_un address;
	const char *name;
	int directory OWNED = open_parent(path, &name);
	int result;

	TRY(directory);
	TRY(name_socket(&address, path, directory, name));
	int socket OWNED = SYS(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	TRY(socket);
	TRY(SYS(connect, socket, &address, sizeof(address)));
	result = socket;
	socket = -1;
	return result;
}

int op_open_console(const struct op_open_console *op)
{
	int socket = connect_socket(op->path);

	TRY(socket);
	close_fd(&self.console);
	self.console = socket;
	return 0;
}

int op_send_pidfd(const struct op_send_pidfd *op)
{
	int socket OWNED = self.pidfd < 0 ? -ESRCH : connect_socket(op->path);

	TRY(socket);
	return send_message(socket, op->message, strlen(op->message), self.pidfd);
}

int op_own_stdio(const struct op_own_stdio *op)
{
	for (int fd = 0; fd < 3; fd++) {
		struct statx found;
		uint32_t kind;
		int result;

		TRY(SYS(statx, fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_UID, &found));
		kind = found.stx_mode & S_IFMT;
		/* The host's devices (a terminal, /dev/null) are not the container's. */
		if (found.stx_uid == op->uid || kind == S_IFCHR || kind == S_IFBLK)
			continue;
		result = SYS(fchown, fd, op->uid, ~0u);
		/* Not ours to give, on a read-only file system, or no such user in this namespace: it stays as it is. */
		if (result < 0 && result != -EPERM && result != -EROFS && result != -EINVAL)
			return result;
	}
	return 0;
}

int op_pass_descriptors(const struct op_pass_descriptors *op)
{
	for (uint32_t i = 0; i < op->count; i++) {
		int flags = SYS(fcntl, 3 + i, F_GETFD);

		TRY(flags);
		/* What a caller hands on has outlived an exec; what is to be closed on the next one is our own. */
		if ((flags & FD_CLOEXEC) != 0)
			return -EBADF;
	}
	self.passed = op->count;
	return 0;
}

/* The child has them; here they would only keep the other ends from noticing its end. */
void close_passed_in_parent(void)
{
	if (self.passed > 0)
		SYS(close_range, 3, 2 + self.passed, 0);
	self.passed = 0;
}
