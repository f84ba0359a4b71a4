// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the C headers are told of the items of this crate: rows that the macros make.

/// One `#define`.
#[derive(Debug)]
pub struct Constant {
    /// Rust name; C adds `CKI_`.
    pub name: &'static str,
    /// Its value.
    pub value: u64,
    /// Doc comment, line by line.
    pub doc: &'static [&'static str],
}

/// Constants that belong together.
#[derive(Debug)]
pub struct Group {
    /// Heading in the header.
    pub title: &'static str,
    /// The constants in order.
    pub constants: &'static [Constant],
}

/// One member of a structure.
#[derive(Debug)]
pub struct Field {
    /// Same name in both languages.
    pub name: &'static str,
    /// C type of the member or, for an array, of its elements.
    pub c_type: &'static str,
    /// Number of elements; 0 for a member that is no array.
    pub count: usize,
    /// What else its bytes may be, for a union; C has these as members beside it.
    pub parts: &'static [Part],
    /// Bytes from the structure's start.
    pub offset: usize,
    /// Doc comment, line by line.
    pub doc: &'static [&'static str],
}

/// One reading of a union's bytes.
#[derive(Debug)]
pub struct Part {
    /// Name of the member in C.
    pub name: &'static str,
    /// C type.
    pub c_type: &'static str,
    /// Doc comment, line by line.
    pub doc: &'static [&'static str],
}

/// One ioctl.
#[derive(Debug)]
pub struct Ioctl {
    /// Rust name; C adds `CKI_`.
    pub name: &'static str,
    /// Its number within the type.
    pub number: u64,
    /// C type of the structure that its value tells the size of, if it does.
    pub structure: Option<&'static str>,
    /// The value that `ioctl` is called with.
    pub value: u64,
    /// Doc comment, line by line.
    pub doc: &'static [&'static str],
}

/// One structure.
#[derive(Debug)]
pub struct Structure {
    /// C name without `struct cki_`.
    pub name: &'static str,
    /// Size in bytes, without implicit padding.
    pub size: usize,
    /// Doc comment, line by line.
    pub doc: &'static [&'static str],
    /// Members in order.
    pub fields: &'static [Field],
}

/// A type that may be a member of an ABI structure.
pub trait Abi: Sized {
    /// Its C name (of the elements, for an array).
    const C_TYPE: &'static str;
    /// Number of elements; 0 if this is no array.
    const COUNT: usize;
    /// What else its bytes may be, for a union.
    const PARTS: &'static [Part] = &[];
    /// The value whose bytes are all zero.
    const ZERO: Self;
}

macro_rules! integer {
    ($($ty:ty => $c:literal),+) => { $(
        impl Abi for $ty {
            const C_TYPE: &'static str = $c;
            const COUNT: usize = 0;
            const ZERO: Self = 0;
        }
    )+ };
}

integer!(u8 => "__u8", u16 => "__u16", u32 => "__u32", u64 => "__u64", i64 => "__s64");

impl<T: Abi + Copy, const N: usize> Abi for [T; N] {
    const C_TYPE: &'static str = T::C_TYPE;
    const COUNT: usize = N;
    const ZERO: Self = [T::ZERO; N];
}
