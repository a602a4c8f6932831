/** The changes that repacking and committing are measured with: a script for any shell, the same on a bundle and in a container. */

/**
 * 1,500 changes below the current directory, which holds the tree of `bigtree`: 375 files each get a line more, another mode, or are deleted,
 * and 375 are new. They lie all over the tree.
 */
export const changesScript = `set -e
find srv/node_modules -type f -name 'module-*.js' | LC_ALL=C sort | awk 'NR % 14 == 0 && n < 1500 { print n++ % 4, $0 }' |
  while read -r kind path; do
    case $kind in
      0) echo changed >>"$path" ;;
      1) chmod 600 "$path" ;;
      2) rm "$path" ;;
      3) cp "$path" "$path.new" ;;
    esac
  done
`;
