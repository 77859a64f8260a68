# Turns fresh mount, process and host-name namespaces into a container, then becomes its command (process 1).
#   container.sh POD_FOLDER CONTAINER HOST_NAME REPOSITORY ROOT(rw|ro) WORKING_DIRECTORY COMMAND…
# The machine's own file system is the image, under a layer that vanishes with the container. The repository is /app.
# POD_FOLDER holds mounts-CONTAINER: lines of source, target, rw|ro, dir|file, tab-separated; a source that does not
# begin with / is in POD_FOLDER. A byte on descriptor 3 says that everything is in place.
set -eu
pod=$1 name=$2 host=$3 repository=$4
shift 4
export MR_PATH="$PATH" PATH="/usr/sbin:/usr/bin:/sbin:/bin"
stage=$pod/stage-$name
mkdir -p "$stage"
submounts=$(cut -d' ' -f5 /proc/self/mountinfo)
mount -t tmpfs -o mode=755 tmpfs "$stage"
mkdir "$stage/upper" "$stage/work" "$stage/root"
root=$stage/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$stage/upper,workdir=$stage/work" "$root"
mount -t proc proc "$root/proc"
# What is mounted elsewhere gets a layer of its own too. /run and /tmp are bare, as in an image.
seen= number=0
for at in $submounts; do
  case $at in / | /proc | /proc/* | /run | /run/* | /tmp | /tmp/*) continue ;; esac
  for parent in $seen; do case $at in "$parent" | "$parent"/*) continue 2 ;; esac; done
  [ -d "$at" ] || continue
  seen="$seen $at" number=$((number + 1))
  mkdir -p "$root$at" "$stage/layer/$number/upper" "$stage/layer/$number/work"
  case $at in /dev | /sys) mount --rbind "$at" "$root$at"; continue ;; esac
  layer="lowerdir=$at,upperdir=$stage/layer/$number/upper,workdir=$stage/layer/$number/work"
  mount -t overlay overlay -o "$layer" "$root$at" 2> /dev/null || mount --rbind "$at" "$root$at"
done
# Sources outside POD_FOLDER, one numbered place each, since the layer would hide what happens to them later.
mkdir "$stage/outside"
tab=$(printf '\t') number=0
while IFS="$tab" read -r source target access kind; do
  case $source in /*) ;; *) continue ;; esac
  number=$((number + 1))
  if [ "$kind" = dir ]; then mkdir "$stage/outside/$number"; else : > "$stage/outside/$number"; fi
  mount --rbind "$source" "$stage/outside/$number"
done < "$pod/mounts-$name"
mkdir -p "$root/app" "$root/.pod"
mount --bind "$repository" "$root/app"
mount --rbind "$pod" "$root/.pod"
echo "$host" > /proc/sys/kernel/hostname
# The rest happens inside, where an absolute link such as /var/run -> /run points into the container.
exec chroot "$root" /bin/sh -euc '
  name=$1 root=$2 directory=$3
  shift 3
  tab=$(printf "\t") number=0
  while IFS="$tab" read -r source target access kind; do
    case $source in
      /*) number=$((number + 1)); source=/.pod/stage-$name/outside/$number ;;
      *) source=/.pod/$source ;;
    esac
    if [ "$kind" = dir ]; then mkdir -p "$target"
    else
      mkdir -p "$(dirname "$target")"
      # /etc/resolv.conf may be a link to where nothing is any more.
      [ -L "$target" ] && rm "$target"
      [ -e "$target" ] || : > "$target"
    fi
    mount --rbind "$source" "$target"
    [ "$access" = rw ] || mount -o remount,bind,ro "$target"
  done < "/.pod/mounts-$name"
  umount -l /.pod
  rmdir /.pod
  [ "$root" = rw ] || mount -o remount,bind,ro /
  cd "$directory"
  export PATH="$MR_PATH"
  unset MR_PATH
  printf ready >&3
  exec 3>&-
  exec "$@"
' sh "$name" "$@"
