/*
 * An agent for SCMP_ACT_NOTIFY: supervisor SOCKET
 *
 * Says "listening", takes one container process state, prints it, and answers every call that it is told of with EXDEV, printing
 * its number, until the container has ended.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int receive(int connection)
{
	static char text[1 << 16];
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec part = { text, sizeof(text) - 1 };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t size = recvmsg(connection, &header, 0);
	struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
	int fd = -1;

	/* Small enough to come in one piece. runc 1.1 keeps the connection open, so its end is no sign. */
	if (size <= 0 || rights == NULL || rights->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(rights), sizeof(fd));
	printf("%s\n", text);
	return fd;
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);

	if (argc != 2)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	strncpy(address.sun_path, argv[1], sizeof(address.sun_path) - 1);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 1) < 0)
		return 1;
	printf("listening\n");
	int fd = receive(accept(listener, NULL, NULL));
	if (fd < 0)
		return 1;
	for (;;) {
		struct pollfd poll_for = { .fd = fd, .events = POLLIN };
		struct seccomp_notif call = { 0 };
		struct seccomp_notif_resp answer = { 0 };

		if (poll(&poll_for, 1, 20000) <= 0 || (poll_for.revents & POLLIN) == 0)
			return 0;
		if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0)
			continue;
		printf("call %d\n", call.data.nr);
		answer.id = call.id;
		answer.error = -EXDEV;
		ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	}
}
