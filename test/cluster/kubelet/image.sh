# As container.sh, where the image is folders: a container of nothing but them, without a shell, then its command (process 1).
#   image.sh POD_FOLDER CONTAINER HOST_NAME LAYER[:LAYER…] ROOT(rw|ro) USER:GROUP GROUPS COMMAND…
# No layer may have absolute links on the way to where something is mounted: they would lead out of it.
set -eu
pod=$1 name=$2 host=$3 layers=$4 access=$5 user=$6 groups=$7
shift 7
inner=$PATH PATH="/usr/sbin:/usr/bin:/sbin:/bin"
stage=$pod/stage-$name
mkdir -p "$stage"
mount -t tmpfs -o mode=755 tmpfs "$stage"
mkdir "$stage/upper" "$stage/work" "$stage/root"
root=$stage/root
mount -t overlay overlay -o "lowerdir=$layers,upperdir=$stage/upper,workdir=$stage/work" "$root"
mkdir -p "$root/proc" "$root/dev" "$root/sys"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom; do
  : > "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
tab=$(printf '\t')
while IFS="$tab" read -r source target mode kind; do
  case $source in /*) ;; *) source=$pod/$source ;; esac
  if [ "$kind" = dir ]; then mkdir -p "$root$target"
  else
    mkdir -p "$(dirname "$root$target")"
    [ -e "$root$target" ] || : > "$root$target"
  fi
  mount --rbind "$source" "$root$target"
  [ "$mode" = rw ] || mount -o remount,bind,ro "$root$target"
done < "$pod/mounts-$name"
echo "$host" > /proc/sys/kernel/hostname
[ "$access" = rw ] || mount -o remount,bind,ro "$root"
printf ready >&3
exec 3>&-
# `chroot` is found here, and the command by the image's own path. Who is not root has no capabilities left.
chroot=$(command -v chroot) setpriv=$(command -v setpriv)
export PATH="$inner"
exec "$setpriv" --no-new-privs "$chroot" --userspec="$user" --groups="$groups" "$root" "$@"
