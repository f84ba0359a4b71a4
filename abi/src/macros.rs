// SPDX-License-Identifier: MIT OR Apache-2.0

//! The macros that turn one definition into a Rust item and a row of a C header.

/// Defines constants and the table `GROUP` that a header is generated from: of `u64`, if no other type is named.
///
/// Each constant needs a doc comment: it is the only documentation that C gets.
macro_rules! constants {
    ($title:literal; $($rest:tt)+) => { constants! { $title, u64; $($rest)+ } };
    ($title:literal, $ty:ty; $( $(#[doc = $doc:literal])+ $name:ident = $value:expr; )+) => {
        $( $(#[doc = $doc])+ pub const $name: $ty = $value; )+

        /// These constants, for the generated header.
        pub const GROUP: $crate::description::Group = $crate::description::Group {
            title: $title,
            constants: &[ $( $crate::description::Constant {
                name: stringify!($name),
                value: $name as u64,
                doc: &[$($doc),+],
            } ),+ ],
        };
    };
}

/// Defines a `repr(C)` structure of a stated size and its row of the C header.
///
/// The compiler checks that the fields fill the size exactly, so C and Rust cannot disagree about
/// padding: there is none.
macro_rules! structure {
    (
        $(#[doc = $doc:literal])+
        $name:ident as $c:literal, size $size:literal {
            $( $(#[doc = $fdoc:literal])+ $field:ident: $ty:ty, )+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(C)]
        pub struct $name {
            $( $(#[doc = $fdoc])+ pub $field: $ty, )+
        }

        impl $name {
            /// How the structure looks in C.
            pub const C: $crate::description::Structure = $crate::description::Structure {
                name: $c,
                size: $size,
                doc: &[$($doc),+],
                fields: &[ $( $crate::description::Field {
                    name: stringify!($field),
                    c_type: <$ty as $crate::description::Abi>::C_TYPE,
                    count: <$ty as $crate::description::Abi>::COUNT,
                    parts: <$ty as $crate::description::Abi>::PARTS,
                    offset: ::core::mem::offset_of!($name, $field),
                    doc: &[$($fdoc),+],
                } ),+ ],
            };
        }

        impl $crate::description::Abi for $name {
            const C_TYPE: &'static str = concat!("struct cki_", $c);
            const COUNT: usize = 0;
            const ZERO: Self = $name { $( $field: <$ty as $crate::description::Abi>::ZERO, )+ };
        }

        impl ::core::default::Default for $name {
            fn default() -> Self {
                <Self as $crate::description::Abi>::ZERO
            }
        }

        const _: () = assert!(::core::mem::size_of::<$name>() == $size);
        const _: () = assert!(0 $( + ::core::mem::size_of::<$ty>() )+ == $size);
    };
}

/// Has structures made from the words that a union holds: of `u64`s, arrays of them, and such structures.
macro_rules! from_words {
    ($( $name:ident { $($field:ident),+ } )+) => { $(
        impl $crate::words::Words for $name {
            fn from_words(words: &[u64]) -> Self {
                $name { $(
                    $field: $crate::words::Words::from_words(
                        &words[::core::mem::offset_of!($name, $field) / 8..],
                    ),
                )+ }
            }
        }
    )+ };
}

/// Defines ioctls: constants with the values that `ioctl` is called with, and the table `IOCTLS`.
macro_rules! ioctls {
    ($io_type:expr; $(
        $(#[doc = $doc:literal])+
        $name:ident = $number:literal $(, $argument:ident)?;
    )+) => {
        $( $(#[doc = $doc])+ pub const $name: u64 = ioctls!(@value $io_type, $number $(, $argument)?); )+

        /// All of them, for the generated header.
        pub const IOCTLS: &[$crate::description::Ioctl] = &[ $( $crate::description::Ioctl {
            name: stringify!($name),
            number: $number,
            structure: ioctls!(@structure $($argument)?),
            value: $name,
            doc: &[$($doc),+],
        } ),+ ];
    };
    // As <asm-generic/ioctl.h> makes them: direction, size, type, number.
    (@value $io_type:expr, $number:literal) => { ($io_type as u64) << 8 | $number };
    (@value $io_type:expr, $number:literal, $argument:ident) => {
        1 << 30
            | (::core::mem::size_of::<$argument>() as u64) << 16
            | ($io_type as u64) << 8
            | $number
    };
    (@structure) => { None };
    (@structure $argument:ident) => { Some(<$argument as $crate::description::Abi>::C_TYPE) };
}

/// Defines a text that is a comment in a header and documentation here.
macro_rules! text {
    ($(#[doc = $doc:literal])+ $name:ident) => {
        $(#[doc = $doc])+
        pub const $name: &[&str] = &[$($doc),+];
    };
}
