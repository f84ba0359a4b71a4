// SPDX-License-Identifier: GPL-2.0-only
/*
 * The start of a CKI guest, up to the code that all of x86 shares.
 */
#include <linux/acpi.h>
#include <linux/cpu.h>
#include <linux/init.h>
#include <linux/ioport.h>
#include <linux/memblock.h>
#include <linux/pci.h>
#include <linux/random.h>
#include <linux/smp.h>
#include <linux/string.h>

#include <asm/acpi.h>
#include <asm/bootparam.h>
#include <asm/cpu.h>
#include <asm/e820/api.h>
#include <asm/paravirt.h>
#include <asm/pci_x86.h>
#include <asm/pgtable.h>
#include <asm/proto.h>
#include <asm/sections.h>
#include <asm/setup.h>
#include <asm/smp.h>
#include <asm/tlbflush.h>
#include <asm/x86_init.h>

#include "guest.h"
#include "../kernel/cpu/cpu.h"

bool cki_is_guest __ro_after_init;

static char * __init cki_memory_setup(void)
{
	unsigned int i;

	for (i = 0; i < cki_start_info->segment_count; i++)
		e820__range_add(cki_start_info->segments[i].base,
				cki_start_info->segments[i].size,
				E820_TYPE_RAM);
	e820__update_table(e820_table);
	return "CKI";
}

/* No BIOS, no ISA bus, no PCI: nothing may be looked for at fixed addresses or ports. */
static void __init cki_set_legacy_features(void)
{
	x86_platform.legacy.i8042 = X86_LEGACY_I8042_PLATFORM_ABSENT;
	x86_platform.legacy.rtc = 0;
	x86_platform.legacy.warm_reset = 0;
	x86_platform.legacy.no_vga = 1;
	x86_platform.legacy.reserve_bios_regions = 0;
	x86_platform.legacy.devices.pnpbios = 0;
}

static void __init cki_arch_setup(void)
{
	cki_register_boot_console();
	cki_table_reserve();
	disable_acpi();
	/* Drivers that would probe ports find them taken. */
	paravirt_disable_iospace();
	add_bootloader_randomness(cki_start_info->seed,
				  min_t(u64, cki_start_info->seed_size,
					sizeof(cki_start_info->seed)));
}

#ifdef CONFIG_PCI
static int __init cki_no_pci(void)
{
	return 0;
}
#endif

static void __init cki_init_platform_ops(void)
{
	pv_info.name = "CKI";

	x86_platform.set_legacy_features = cki_set_legacy_features;
	x86_platform.realmode_reserve = x86_init_noop;
	x86_platform.realmode_init = x86_init_noop;

	x86_init.resources.memory_setup = cki_memory_setup;
	x86_init.resources.probe_roms = x86_init_noop;
	x86_init.resources.dmi_setup = x86_init_noop;
	x86_init.resources.reserve_resources = x86_init_noop;
	x86_init.mpparse.find_mptable = x86_init_noop;
	x86_init.mpparse.early_parse_smp_cfg = x86_init_noop;
	x86_init.mpparse.parse_smp_cfg = x86_init_noop;
	x86_init.oem.arch_setup = cki_arch_setup;
#ifdef CONFIG_PCI
	pci_probe = PCI_PROBE_NOEARLY;
	x86_init.pci.arch_init = cki_no_pci;
	x86_init.pci.init = cki_no_pci;
	x86_init.pci.init_irq = x86_init_noop;
	x86_init.pci.fixup_irqs = x86_init_noop;
#endif
}

static void __init cki_smp_prepare_boot_cpu(void)
{
}

static void __init cki_smp_prepare_cpus(unsigned int max_cpus)
{
	smp_prepare_cpus_common();
}

static void cki_stop_other_cpus(int wait)
{
}

static void cki_no_ipi(int cpu)
{
}

static void cki_no_ipi_mask(const struct cpumask *mask)
{
}

/* One vCPU: nobody to send to. */
static void __init cki_init_smp_ops(void)
{
	smp_ops.smp_prepare_boot_cpu = cki_smp_prepare_boot_cpu;
	smp_ops.smp_prepare_cpus = cki_smp_prepare_cpus;
	smp_ops.stop_other_cpus = cki_stop_other_cpus;
	smp_ops.smp_send_reschedule = cki_no_ipi;
	smp_ops.send_call_func_ipi = cki_no_ipi_mask;
	smp_ops.send_call_func_single_ipi = cki_no_ipi;
}

static void __init cki_init_boot_params(void)
{
	/* Not zero: the boot parameters are here already (copy_bootdata()). */
	boot_params.hdr.version = 0x20f;
	boot_params.hdr.type_of_loader = 0xff;
	boot_params.hdr.ramdisk_image = cki_start_info->initrd_hpa;
	boot_params.ext_ramdisk_image = cki_start_info->initrd_hpa >> 32;
	boot_params.hdr.ramdisk_size = cki_start_info->initrd_size;
	boot_params.ext_ramdisk_size = cki_start_info->initrd_size >> 32;

	strscpy(boot_command_line, cki_start_info->command_line,
		min_t(size_t, COMMAND_LINE_SIZE, CKI_COMMAND_LINE_SIZE));
}

/* From startup_cki, on the initial stack, with the loader's page tables. */
asmlinkage __visible void __init cki_start_kernel(void)
{
	if (cki_start_info->magic != CKI_START_INFO_MAGIC ||
	    cki_start_info->abi_version != CKI_ABI_VERSION) {
		/* Nothing to report it with. */
		cki_shut_down(CKI_SHUTDOWN_PANIC);
	}

	cki_is_guest = true;
	phys_base = cki_start_info->phys_base;
	setup_force_cpu_cap(X86_FEATURE_CKI_GUEST);
	setup_force_cpu_cap(X86_FEATURE_PARAVIRT_XXL);

	cki_init_cpu_ops();
	cki_set_vcpu_info();
	cki_init_entry();
	/* Interrupts are off: the flag is 0 until somebody enables them. */
	early_boot_irqs_disabled = true;

	cki_table_init();
	cki_init_mmu_ops();
	cki_init_boot_tables();

	/* The number of CPUID's last leaf first: get_cpu_cap() reads none behind it. */
	cpu_detect(&boot_cpu_data);
	get_cpu_cap(&boot_cpu_data);
	x86_configure_nx();
	get_cpu_address_sizes(&boot_cpu_data);
	cki_init_capabilities();

	cki_init_platform_ops();
	cki_init_time_ops();
	cki_init_event_ops();
	cki_init_smp_ops();
	cki_init_machine_ops();
	cki_init_boot_params();

	cr4_init_shadow();
	x86_64_start_reservations((char *)__pa_symbol(&boot_params));
}
