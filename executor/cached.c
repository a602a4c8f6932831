/*
 * `create` and `run` without the compiler: the program of an earlier container of the same kind, if nothing is different but names.
 *
 *     /run/gantry-cache/HASH      one entry: header, the request's normal form, where names go, checks, program
 *
 * An entry is used when its form is this request's byte for byte, its checksum is right, the compiler is the same file, and every
 * fact about the machine that it was compiled for still holds (checks.c). The compiler writes entries, after it has delivered.
 *
 * SECURITY: entries lie in a directory that only we may write to. Who can change one may run programs as us anyway; the checksum
 * is against damage.
 */
#include "cached.h"

#define DIRECTORY "/run/gantry-cache"
#define DIRECTORY_VARIABLE "GANTRY_CACHE="
#define OFF_VARIABLE "GANTRY_NO_CACHE="
#define ENTRY_LIMIT (2u << 20)
#define CONFIG_LIMIT (256u << 10)
#define NAME_BYTES 16

struct entry_header {
	char magic[8];
	/* Over all that follows. */
	uint64_t checksum;
	/* The compiler's file. */
	uint64_t ino;
	uint64_t size;
	int64_t changed_seconds;
	uint64_t changed_nanoseconds;
	uint32_t form_size;
	uint32_t hole_count;
	uint32_t checks_size;
	uint32_t program_size;
};

/* Where a name goes, in bytes from the start of the checks; the program follows those. */
struct hole {
	uint32_t at;
	uint32_t name;
};

static struct normal_form form;
static uint8_t entry[ENTRY_LIMIT + 4] __attribute__((aligned(8)));
static char config[CONFIG_LIMIT];

/* Two sums of 32 bits over `size` bytes, as if zeros followed up to a multiple of 4. They are aligned, and there is room for those. */
static uint64_t sum_of(uint8_t *bytes, uint32_t size)
{
	const uint32_t *words = (const uint32_t *)(void *)bytes;
	uint32_t a = 0x9e3779b1u ^ size;
	uint32_t b = 0x85ebca77u;

	memset(bytes + size, 0, -size & 3);
	for (uint32_t i = 0; i < (size + 3) / 4; i++) {
		a = (a ^ words[i]) * 0x9e3779b1u;
		a ^= a >> 15;
		b = (b + words[i]) * 0xc2b2ae3du;
		b ^= b >> 13;
	}
	return (uint64_t)b << 32 | a;
}

/* Opens the bundle and puts its canonical path in `path`. */
static int open_bundle(const char *bundle, char *path)
{
	char link[32] = "/proc/self/fd/";
	int fd = SYS(openat, AT_FDCWD, bundle, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	int size;

	TRY(fd);
	link[14 + format_decimal(link + 14, (uint32_t)fd)] = '\0';
	size = SYS(readlinkat, AT_FDCWD, link, path, PATH_BYTES - 1);
	if (size < 0) {
		SYS(close, fd);
		return size;
	}
	path[size] = '\0';
	return fd;
}

/* Puts the normal form of a call into `form`: its words, then config.json. */
static bool form_of(const struct call *call)
{
	static char path[PATH_BYTES];
	int bundle OWNED = open_bundle(call->bundle == NULL ? "." : call->bundle, path);
	int size;

	if (bundle < 0)
		return false;
	size = read_file(SYS(openat, bundle, "config.json", O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0), config, sizeof(config));
	/* Warnings are the compiler's: whether anybody would be told of them is part of the form. */
	return size >= 0 && begin_form(&form, call->id) && normalize_word(&form, call->verb) && normalize_word(&form, call->switches) &&
	       normalize_word(&form, call->log != NULL || call->log_level != NULL ? "told" : "") &&
	       normalize_word(&form, call->root) && normalize_word(&form, call->preserved_fds) &&
	       normalize_word(&form, call->pid_file) && normalize_word(&form, call->console_socket) && normalize_word(&form, path) &&
	       normalize(&form, config, (size_t)size, true);
}

/* Opens the entry whose name is `sum` in hexadecimal digits. */
static int open_cache_entry(char **envp, uint64_t sum)
{
	const char *path = find_variable(envp, DIRECTORY_VARIABLE);
	char name[NAME_BYTES + 1] = { 0 };

	int directory OWNED = SYS(openat, AT_FDCWD, path == NULL ? DIRECTORY : path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	TRY(directory);
	if (!is_ours(directory, S_IFDIR, 077))
		return -EPERM;
	for (int i = NAME_BYTES; i > 0; i--, sum >>= 4)
		name[i - 1] = "0123456789abcdef"[sum & 15];
	return SYS(openat, directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
}

/* The compiler is the file that has written the entry. */
static bool is_from(const struct entry_header *header, int compiler)
{
	struct statx found;

	return SYS(statx, compiler, "", AT_EMPTY_PATH, STATX_INO | STATX_SIZE | STATX_CTIME, &found) == 0 && found.stx_ino == header->ino &&
	       found.stx_size == header->size && found.stx_ctime.tv_sec == header->changed_seconds &&
	       found.stx_ctime.tv_nsec == header->changed_nanoseconds;
}

static uint64_t padded(uint64_t size)
{
	return (size + 7) & ~7ull;
}

/* Puts the names into the holes. */
static bool fill_holes(uint8_t *body, uint64_t size, const uint8_t *holes, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct hole hole;

		memcpy(&hole, holes + i * sizeof(hole), sizeof(hole));
		if (hole.name >= form.name_count || hole.at > size || form.names[hole.name].size > size - hole.at)
			return false;
		memcpy(body + hole.at, form.names[hole.name].text, form.names[hole.name].size);
	}
	return true;
}

/* The program of the entry that has `size` bytes, if it is one for this request; NULL otherwise. */
static const uint8_t *program_in(uint32_t size, int compiler, uint32_t *program_size)
{
	struct entry_header header;
	uint64_t holes;
	uint64_t body;

	if (size < sizeof(header))
		return NULL;
	memcpy(&header, entry, sizeof(header));
	holes = sizeof(header) + padded(header.form_size);
	body = holes + (uint64_t)header.hole_count * sizeof(struct hole);
	if (memcmp(header.magic, "GNTRYENT", sizeof(header.magic)) != 0 || header.checks_size % 8 != 0 ||
	    body + header.checks_size + header.program_size != size || header.form_size != form.size ||
	    memcmp(entry + sizeof(header), form.bytes, form.size) != 0 || !is_from(&header, compiler) ||
	    sum_of(entry + 16, size - 16) != header.checksum)
		return NULL;
	if (!fill_holes(entry + body, size - body, entry + holes, header.hole_count) || !facts_hold(entry + body, header.checks_size))
		return NULL;
	*program_size = header.program_size;
	return entry + body + header.checks_size;
}

/* A file in memory that holds the program of an earlier call like this one; -1 when there is none that fits. */
int open_cached(const struct call *call, char **envp, int compiler)
{
	const uint8_t *program;
	uint32_t program_size = 0;
	int size;

	if (!call->makes || find_variable(envp, OFF_VARIABLE) != NULL || find_variable(envp, "LISTEN_FDS=") != NULL || !form_of(call))
		return -1;
	int file OWNED = open_cache_entry(envp, sum_of((uint8_t *)form.bytes, form.size));
	if (file < 0 || !is_ours(file, S_IFREG, 077))
		return -1;
	int used OWNED = SYS(dup, file);
	size = read_file(file, (char *)entry, ENTRY_LIMIT);
	file = -1;
	program = size < 0 ? NULL : program_in((uint32_t)size, compiler, &program_size);
	if (program == NULL)
		return -1;
	int result = SYS(memfd_create, "gantry-program", MFD_CLOEXEC);
	if (result < 0)
		return -1;
	if (SYS(pwrite64, result, program, program_size, 0) != (int)program_size) {
		SYS(close, result);
		return -1;
	}
	/* The compiler removes those first that have not been used for longest. */
	SYS(utimensat, used, NULL, NULL, 0);
	return result;
}
