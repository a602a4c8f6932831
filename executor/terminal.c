/*
 * The container's terminal: made in the child out of the container's own devpts. Its master goes to whoever the caller
 * named, or to the parent, which then stands between it and the caller's terminal.
 */
#include "executor.h"

#include <asm/statfs.h>
#include <asm/termios.h>

/* <linux/major.h>, TTYAUX_MAJOR; fs/devpts/inode.c, mknod_ptmx() */
#define MULTIPLEXER_MAJOR 5
#define MULTIPLEXER_MINOR 2

/* What the caller's terminal was like before it became raw. */
static struct termios callers;
static bool has_callers;

/*
 * Opens a new master. SECURITY: /dev/pts may be a link or a directory of the image, but nothing can be made in a devpts,
 * and no mount or link below it is followed: what is found there is the kernel's multiplexer (CVE-2025-52565).
 */
static int open_multiplexer(void)
{
	struct open_how how = {
		.flags = O_RDWR | O_NOCTTY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};
	struct statfs system;
	struct statx found;
	int directory OWNED = open_path("/dev/pts", O_PATH | O_DIRECTORY);

	TRY(directory);
	TRY(SYS(fstatfs, directory, &system));
	if (system.f_type != FILE_SYSTEM_DEVPTS)
		return -ENODEV;
	int master OWNED = SYS(openat2, directory, "ptmx", &how, sizeof(how));
	TRY(master);
	TRY(SYS(statx, master, "", AT_EMPTY_PATH, STATX_TYPE, &found));
	if ((found.stx_mode & S_IFMT) != S_IFCHR || found.stx_rdev_major != MULTIPLEXER_MAJOR ||
	    found.stx_rdev_minor != MULTIPLEXER_MINOR)
		return -ENODEV;
	int result = master;
	master = -1;
	return result;
}

/* Opens the other end of `master`, by the descriptor and by no name. */
static int open_slave(int master)
{
	int locked = 0;

	TRY(SYS(ioctl, master, TIOCSPTLCK, &locked));
	return SYS(ioctl, master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

/* The first standard descriptor that is a terminal with a size; false when there is none. */
static bool find_callers_size(struct winsize *size)
{
	for (int fd = 0; fd < 3; fd++)
		if (SYS(ioctl, fd, TIOCGWINSZ, size) == 0 && size->ws_row != 0 && size->ws_col != 0)
			return true;
	return false;
}

/* Makes the slave what /dev/console is. SECURITY: never through a link, which an image could put there (CVE-2025-52565). */
static int bind_console(int slave)
{
	const char *name;
	struct statx found;
	uint32_t kind;
	int parent OWNED = open_parent("/dev/console", &name);
	int result;

	TRY(parent);
	result = SYS(mknodat, parent, name, S_IFREG | 0600, 0);
	if (result < 0 && result != -EEXIST)
		return result;
	int place OWNED = SYS(openat, parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	TRY(place);
	TRY(SYS(statx, place, "", AT_EMPTY_PATH, STATX_TYPE, &found));
	kind = found.stx_mode & S_IFMT;
	if (kind != S_IFREG && kind != S_IFCHR)
		return kind == S_IFLNK ? -ELOOP : -EEXIST;
	return move_clone(slave, place);
}

/* Gives the slave to the container's user; where it belongs to a foreign devpts it stays as it is. */
static int own_slave(int slave, uint32_t uid)
{
	struct statx found;
	int result;

	TRY(SYS(statx, slave, "", AT_EMPTY_PATH, STATX_UID, &found));
	result = found.stx_uid == uid ? 0 : SYS(fchown, slave, uid, ~0u);
	return result == -EPERM || result == -EROFS ? 0 : result;
}

/* Sends the master away: with the terminal's name, as receivers expect it, or to the parent. */
int send_master(int master)
{
	char name[32] = "/dev/pts/";
	uint32_t number = 0;
	int result;

	if (self.console < 0)
		return hand_parent_terminal(master);
	TRY(SYS(ioctl, master, TIOCGPTN, &number));
	result = send_message(self.console, name, 9 + format_decimal(name + 9, number), master);
	close_fd(&self.console);
	return result;
}

int op_terminal(const struct op_terminal *op)
{
	struct winsize size = { .ws_row = (uint16_t)op->height, .ws_col = (uint16_t)op->width };
	struct winsize callers_size;
	int master OWNED = open_multiplexer();

	TRY(master);
	int slave OWNED = open_slave(master);
	TRY(slave);
	/* Here, before the program can ask for it; descriptors 0-2 are still the caller's. */
	if (self.console < 0 && find_callers_size(&callers_size))
		size = callers_size;
	if (size.ws_row != 0 && size.ws_col != 0)
		TRY(SYS(ioctl, master, TIOCSWINSZ, &size));
	TRY(own_slave(slave, op->uid));
	TRY(SYS(ioctl, slave, TIOCSCTTY, 0));
	for (int fd = 0; fd < 3; fd++)
		TRY(SYS(dup3, slave, fd, 0));
	if (op->console != 0)
		TRY(bind_console(slave));
	return send_master(master);
}

/* Makes the caller's terminal raw, if standard input is one: every key is the container's. */
void take_callers_terminal(void)
{
	struct termios raw;

	if (self.terminal < 0)
		return;
	resize_terminal();
	if (SYS(ioctl, 0, TCGETS, &callers) < 0)
		return;
	raw = callers;
	/* termios(3), cfmakeraw() */
	raw.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
	raw.c_oflag &= ~(tcflag_t)OPOST;
	raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
	raw.c_cflag = (raw.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	/* SIGTTOU is blocked, as all signals are: a command in the background is not stopped by this. */
	has_callers = SYS(ioctl, 0, TCSETS, &raw) == 0;
}

/* Puts the caller's terminal back as it was; does nothing the second time. */
void give_back_callers_terminal(void)
{
	if (has_callers)
		SYS(ioctl, 0, TCSETS, &callers);
	has_callers = false;
}

/* After SIGWINCH: gives the container's terminal the size of the caller's. False when there is no terminal. */
bool resize_terminal(void)
{
	struct winsize size;

	if (self.terminal < 0)
		return false;
	if (find_callers_size(&size))
		SYS(ioctl, self.terminal, TIOCSWINSZ, &size);
	return true;
}
