/*
 * Removing trees: in constant memory, with a bounded number of descriptors, never following a link and never entering
 * another mount. Where a tree is deeper than the stack of descriptors, the rest is moved up to its top and comes
 * again later; walking up by ".." would trust that nobody has moved the directory away meanwhile.
 */
#include "executor.h"

#define LEVELS 32

struct level {
	struct directory directory;
	/* What it is called in the level above. */
	char name[256];
};

static struct level levels[LEVELS];

/* Counts what was moved up, for names that do not clash. */
static uint32_t moved;

/* Removes one entry that is no directory or an empty one. -ENOTEMPTY when it is a directory to enter. */
static int remove_entry(int directory, const char *name, bool is_directory)
{
	int result = is_directory ? -EISDIR : SYS(unlinkat, directory, name, 0);

	if (result == -EISDIR)
		result = SYS(unlinkat, directory, name, AT_REMOVEDIR);
	return result == -ENOENT ? 0 : result;
}

/* Starts reading the directory `fd`, which is called `name` in the level above. */
static void enter(struct level *level, int fd, const char *name)
{
	begin_entries(&level->directory, fd);
	memcpy(level->name, name, strlen(name) + 1);
}

/* Moves the directory `name` in `from`, which is too deep to enter, up to the top of the tree, under any free name. */
static int move_up(int from, const char *name)
{
	char fresh[32] = ".gantry-removing-";
	int result;

	do {
		fresh[17 + format_decimal(fresh + 17, moved++)] = '\0';
		result = SYS(renameat2, from, name, levels[0].directory.fd, fresh, 0);
	} while (result == -EEXIST || result == -ENOTEMPTY || result == -ENOTDIR);
	return result;
}

/*
 * Deals with one entry of levels[depth]: removes it, or enters it as the next level. Returns the depth to go on at, or
 * -errno; sets `*changed` when something has gone from where it was.
 */
static int take_entry(int depth, const struct directory_entry *entry, bool *changed)
{
	struct level *level = &levels[depth];
	int result = remove_entry(level->directory.fd, entry->name, entry->type == ENTRY_DIRECTORY);

	if (result == -ENOTEMPTY && depth + 1 < LEVELS) {
		result = open_entry(level->directory.fd, entry->name, O_DIRECTORY);
		if (result == -ENOENT)
			return depth;
		if (result < 0)
			return result;
		enter(&levels[depth + 1], result, entry->name);
		return depth + 1;
	}
	if (result == -ENOTEMPTY)
		result = move_up(level->directory.fd, entry->name);
	if (result < 0)
		return result;
	*changed = true;
	return depth;
}

/* One pass over the directory `fd`, which is closed, and all below it. `*changed` says whether anything went. */
static int empty_tree(int fd, bool *changed)
{
	int depth = 0;
	int result = 0;

	*changed = false;
	enter(&levels[0], fd, "");
	while (depth >= 0 && result >= 0) {
		struct directory_entry *entry = next_entry(&levels[depth].directory, &result);

		if (entry != NULL) {
			result = take_entry(depth, entry, changed);
			if (result >= 0)
				depth = result;
			continue;
		}
		if (result < 0)
			break;
		SYS(close, levels[depth].directory.fd);
		if (--depth < 0)
			break;
		/* Not empty: entries were missed or came while it was read. The next pass meets it again. */
		result = remove_entry(levels[depth].directory.fd, levels[depth + 1].name, true);
		if (result == 0)
			*changed = true;
		else if (result == -ENOTEMPTY)
			result = 0;
	}
	for (; depth >= 0; depth--)
		SYS(close, levels[depth].directory.fd);
	return result < 0 ? result : 0;
}

/* Removes `name` in `directory` and all below it. What is missing is removed already. */
int remove_at(int directory, const char *name)
{
	bool changed = true;
	int result = remove_entry(directory, name, false);

	while (result == -ENOTEMPTY && changed) {
		int fd = open_entry(directory, name, O_DIRECTORY);

		if (fd < 0)
			return fd == -ENOENT ? 0 : fd;
		result = empty_tree(fd, &changed);
		if (result == 0)
			result = remove_entry(directory, name, true);
	}
	return result;
}

static bool is_kept(const char *name, char **keep)
{
	for (; *keep != NULL; keep++)
		if (same_text(name, *keep))
			return true;
	return false;
}

/* Removes every entry of the open `directory` whose name is not in `keep`, until a pass finds none. */
int clear_directory(int directory, char **keep)
{
	static struct directory top;
	struct directory_entry *entry;
	bool changed = true;

	while (changed) {
		int result = SYS(lseek, directory, 0, 0);

		changed = false;
		begin_entries(&top, directory);
		while ((entry = next_entry(&top, &result)) != NULL) {
			if (is_kept(entry->name, keep))
				continue;
			TRY(remove_at(directory, entry->name));
			changed = true;
		}
		TRY(result);
	}
	return 0;
}

int op_remove_directory(const struct op_remove_directory *op)
{
	const char *name;
	int parent OWNED = open_parent(op->path, &name);
	int result = parent < 0 ? parent : SYS(unlinkat, parent, name, AT_REMOVEDIR);

	return result == -ENOENT ? 0 : result;
}
