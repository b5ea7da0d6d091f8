"""How the pool is made: commands for a person to read, complete and run once, never run by the relay."""

from hardware.host.records import Facts
from hardware.host.settings import HostSettings

_SOME_DISKS = tuple(f"/dev/disk/by-id/DISK-{n}" for n in range(1, 5))
_SOME_CACHE = tuple(f"/dev/disk/by-id/SSD-{n}-part3" for n in range(1, 3))


def pool_commands(settings: HostSettings, facts: Facts) -> str:
    """Return the commands that make the encrypted pool under the relay's folder, for mdadm with LVM or for ZFS."""
    disks = tuple(map(str, settings.disks)) or _SOME_DISKS
    cache = tuple(map(str, settings.cache)) or _SOME_CACHE
    template = _ZFS if settings.pool == "zfs" else _MDADM
    return template.format(
        head=_HEAD.format(folder=facts.folder, disks="\n#   ".join((*disks, *cache))),
        disks=" ".join(disks),
        count=len(disks),
        level=6 if len(disks) > 3 else 1,
        raidz="raidz2" if len(disks) > 3 else "mirror",
        cache=" ".join(cache),
        caches=len(cache),
        folder=facts.folder,
        account=settings.account,
    )


_HEAD = """\
#!/bin/sh
# The pool below {folder}. EVERYTHING ON THESE DISKS IS LOST:
#   {disks}
# Read it line by line; take the "exit" away when it names the right disks. It is run once, as root.
echo "Read this file first." >&2; exit 1
set -eu
umask 077
"""

_MDADM = """\
{head}
# 1. The disks as one array: any two of four may fail. The bitmap makes the resync after a power cut short.
mdadm --create /dev/md/pool --metadata=1.2 --level={level} --raid-devices={count} --bitmap=internal {disks}
# The two SSD partitions as a mirror: the cache.
mdadm --create /dev/md/cache --metadata=1.2 --level=1 --raid-devices={caches} --bitmap=internal {cache}
mdadm --detail --scan >> /etc/mdadm/mdadm.conf && update-initramfs -u

# 2. Encryption below everything else: a disk that goes back to its maker cannot be read. The key lies on the system
# disk, so that one must be encrypted too (the installer's "encrypted LVM", opened by TPM or by a person).
# Keep a copy of the key and of both headers off this box: without them all is lost.
dd if=/dev/urandom of=/etc/kspace/pool.key bs=64 count=1 status=none
for part in pool cache; do
	cryptsetup luksFormat --batch-mode --type luks2 --key-file /etc/kspace/pool.key /dev/md/$part
	cryptsetup open --key-file /etc/kspace/pool.key /dev/md/$part kspace-$part
	echo "kspace-$part UUID=$(cryptsetup luksUUID /dev/md/$part) /etc/kspace/pool.key luks,discard" >> /etc/crypttab
done

# 3. One volume with a cache in front. Writethrough, never writeback: what was synced is on the array, and a dead SSD
# costs speed alone.
pvcreate /dev/mapper/kspace-pool /dev/mapper/kspace-cache
vgcreate kspace /dev/mapper/kspace-pool /dev/mapper/kspace-cache
lvcreate --yes --name spool --extents 100%PVS kspace /dev/mapper/kspace-pool
lvcreate --yes --name spoolcache --extents 100%PVS kspace /dev/mapper/kspace-cache
lvconvert --yes --type cache --cachevol spoolcache --cachemode writethrough kspace/spool

# 4. The file system, mounted before the relay starts.
mkfs.xfs /dev/kspace/spool
install -d {folder}
echo "/dev/kspace/spool {folder} xfs defaults,noatime,nosuid,nodev,noexec,prjquota 0 2" >> /etc/fstab
systemctl daemon-reload && mount {folder}
chown {account}:{account} {folder} && chmod 700 {folder}

# 5. It must say writethrough, clean, and crypt.
lvs -o lv_name,cache_mode kspace && cat /proc/mdstat && lsblk -o NAME,TYPE,MOUNTPOINT
"""

_ZFS = """\
{head}
# 1. Encryption first: a disk that goes back to its maker cannot be read. The key lies on the system disk, so that one
# must be encrypted too. Keep a copy of the key off this box: without it all is lost.
dd if=/dev/urandom of=/etc/kspace/pool.key bs=32 count=1 status=none

# 2. The pool: any two of four disks may fail. Captures are packed already, so nothing is compressed twice. sync stays
# "standard": what was synced is on the disks.
zpool create -o ashift=12 -O encryption=aes-256-gcm -O keyformat=raw -O keylocation=file:///etc/kspace/pool.key \\
	-O compression=off -O atime=off -O devices=off -O setuid=off -O exec=off -O sync=standard -O recordsize=1M \\
	-O mountpoint={folder} kspace {raidz} {disks}

# 3. The SSDs as a read cache (L2ARC): it holds copies alone, encrypted like the pool; a dead SSD costs speed alone.
zpool add kspace cache {cache}

# 4. The key is loaded and the pool mounted before the relay starts (systemd's zfs-load-key is Debian's zfs-mount
# with this drop-in); a look at every block once a month.
install -d /etc/systemd/system/zfs-mount.service.d
printf '[Service]\\nExecStartPre=/usr/sbin/zfs load-key -a\\n' > /etc/systemd/system/zfs-mount.service.d/key.conf
systemctl daemon-reload && systemctl enable zfs-import-cache zfs-mount zfs-scrub-monthly@kspace.timer
chown {account}:{account} {folder} && chmod 700 {folder}

# 5. It must say ONLINE, and aes-256-gcm.
zpool status kspace && zfs get encryption,keystatus,sync kspace
"""
