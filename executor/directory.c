/*
 * Reading directories, in constant memory. What is opened in one is found by its name there, so it does not matter who moves the
 * directory away meanwhile.
 */
#include "executor.h"

/* Begins to read the open directory `fd`. */
void begin_entries(struct directory *directory, int fd)
{
	directory->fd = fd;
	directory->at = 0;
	directory->size = 0;
}

/* The next entry but "." and ".."; NULL at the end or after an error. The result of the last read is in `*result`. */
struct directory_entry *next_entry(struct directory *directory, int *result)
{
	for (;;) {
		struct directory_entry *entry;

		if (directory->at == directory->size) {
			directory->at = 0;
			directory->size = *result = SYS(getdents64, directory->fd, directory->entries, sizeof(directory->entries));
			if (*result <= 0) {
				directory->size = 0;
				return NULL;
			}
		}
		entry = (struct directory_entry *)(void *)(directory->entries + directory->at);
		directory->at += entry->size;
		if (!is_dots(entry->name))
			return entry;
	}
}

/* Opens the entry `name` of a directory for reading: not through a link (-ELOOP), not across a mount (-EXDEV), without waiting. */
int open_entry(int directory, const char *name, uint64_t flags)
{
	struct open_how how = {
		.flags = flags | O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
		.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS,
	};

	return SYS(openat2, directory, name, &how, sizeof(how));
}
