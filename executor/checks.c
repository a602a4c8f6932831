/*
 * The facts about the machine that a cached program was compiled for, looked at again. A program is run only when each of them is
 * still what it was: then the compiler would make the same one.
 */
#include "cached.h"

#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/utsname.h>

#define MISSING UINT32_MAX
#define CONTENT_LIMIT (64u << 10)
#define LAST_CAPABILITY 63u

/* One check; its path (with a NUL) and its value follow, each padded to 8 bytes. */
struct check_header {
	uint32_t kind;
	uint32_t path_size;
	/* MISSING: nothing is there. */
	uint32_t value_size;
	uint32_t zero;
};

enum check_kind { CHECK_CONTENT = 1, CHECK_DIRECTORY = 2, CHECK_MOUNT = 3, CHECK_PROCESS = 4 };

struct mount_identity {
	uint32_t major;
	uint32_t minor;
	uint64_t ino;
	uint64_t mount;
};

/* The release of the kernel follows. */
struct process_identity {
	uint32_t uid;
	uint32_t gid;
	uint64_t effective;
	uint64_t bounding;
};

/* The content of the file is `value`; also when both are missing. */
static bool content_is(const char *path, const uint8_t *value, uint32_t size)
{
	static char content[CONTENT_LIMIT];
	int found = read_file(SYS(openat, AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0), content, sizeof(content));

	if (size == MISSING)
		return found < 0 && found != -EFBIG;
	return found >= 0 && (uint32_t)found == size && memcmp(content, value, size) == 0;
}

/* 2: a directory is there, 1: something else, 0: nothing. Links are followed. */
static uint8_t kind_of(const char *path)
{
	struct statx found;

	if (SYS(statx, AT_FDCWD, path, 0, STATX_TYPE, &found) < 0)
		return 0;
	return (found.stx_mode & S_IFMT) == S_IFDIR ? 2 : 1;
}

static bool mount_is(const char *path, const uint8_t *value)
{
	struct mount_identity wanted;
	struct statx found;

	memcpy(&wanted, value, sizeof(wanted));
	if (SYS(statx, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_MNT_ID, &found) < 0 || (found.stx_mask & STATX_MNT_ID) == 0)
		return false;
	return found.stx_dev_major == wanted.major && found.stx_dev_minor == wanted.minor && found.stx_ino == wanted.ino &&
	       found.stx_mnt_id == wanted.mount;
}

/* What we may do and on which kernel, in the form in which it is recorded; false when that cannot be known. */
static bool process_is(const uint8_t *value, uint32_t size)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[2];
	struct process_identity wanted;
	struct new_utsname names;
	uint64_t bounding = 0;

	memcpy(&wanted, value, sizeof(wanted));
	if (SYS(capget, &header, sets) < 0 || SYS(uname, &names) < 0)
		return false;
	for (uint32_t i = 0; i <= LAST_CAPABILITY; i++) {
		int held = SYS(prctl, PR_CAPBSET_READ, i);

		if (held < 0)
			break;
		bounding |= (uint64_t)held << i;
	}
	names.release[sizeof(names.release) - 1] = '\0';
	size -= (uint32_t)sizeof(wanted);
	return wanted.uid == (uint32_t)SYS(geteuid) && wanted.gid == (uint32_t)SYS(getegid) &&
	       wanted.effective == (sets[0].effective | (uint64_t)sets[1].effective << 32) && wanted.bounding == bounding &&
	       strlen(names.release) == size && memcmp(names.release, value + sizeof(wanted), size) == 0;
}

static bool holds(const struct check_header *check, const char *path, const uint8_t *value)
{
	switch (check->kind) {
	case CHECK_CONTENT:
		return content_is(path, value, check->value_size);
	case CHECK_DIRECTORY:
		return check->value_size == 1 && kind_of(path) == *value;
	case CHECK_MOUNT:
		return check->value_size == sizeof(struct mount_identity) && mount_is(path, value);
	case CHECK_PROCESS:
		return check->value_size >= sizeof(struct process_identity) && check->value_size != MISSING &&
		       process_is(value, check->value_size);
	default:
		return false;
	}
}

static uint64_t padded(uint64_t size)
{
	return (size + 7) & ~7ull;
}

/* Whether all of `checks` hold; what is no list of checks does not. There must be one at least. */
bool facts_hold(const uint8_t *checks, uint32_t size)
{
	uint64_t at = 0;

	while (at < size) {
		struct check_header check;
		uint64_t path;
		uint64_t value;

		if (size - at < sizeof(check))
			return false;
		memcpy(&check, checks + at, sizeof(check));
		path = at + sizeof(check);
		value = path + padded((uint64_t)check.path_size + 1);
		at = value + padded(check.value_size == MISSING ? 0 : check.value_size);
		if (at > size || checks[path + check.path_size] != 0 || !holds(&check, (const char *)checks + path, checks + value))
			return false;
	}
	return at > 0;
}
