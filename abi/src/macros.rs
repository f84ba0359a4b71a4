// SPDX-License-Identifier: MIT OR Apache-2.0

//! The two macros that turn one definition into a Rust item and a row of the C header.

/// Defines `u64` constants and the table `GROUP` that the header is generated from.
///
/// Each constant needs a doc comment: it is the only documentation that C gets.
macro_rules! constants {
    ($title:literal; $( $(#[doc = $doc:literal])+ $name:ident = $value:expr; )+) => {
        $( $(#[doc = $doc])+ pub const $name: u64 = $value; )+

        /// These constants, for the generated header.
        pub const GROUP: $crate::header::Group = $crate::header::Group {
            title: $title,
            constants: &[ $( $crate::header::Constant {
                name: stringify!($name),
                value: $name,
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
            pub const C: $crate::header::Structure = $crate::header::Structure {
                name: $c,
                size: $size,
                doc: &[$($doc),+],
                fields: &[ $( $crate::header::Field {
                    name: stringify!($field),
                    c_type: <$ty as $crate::header::Abi>::C_TYPE,
                    count: <$ty as $crate::header::Abi>::COUNT,
                    offset: ::core::mem::offset_of!($name, $field),
                    doc: &[$($fdoc),+],
                } ),+ ],
            };
        }

        impl $crate::header::Abi for $name {
            const C_TYPE: &'static str = concat!("struct cki_", $c);
            const COUNT: usize = 0;
            const ZERO: Self = $name { $( $field: <$ty as $crate::header::Abi>::ZERO, )+ };
        }

        impl ::core::default::Default for $name {
            fn default() -> Self {
                <Self as $crate::header::Abi>::ZERO
            }
        }

        const _: () = assert!(::core::mem::size_of::<$name>() == $size);
        const _: () = assert!(0 $( + ::core::mem::size_of::<$ty>() )+ == $size);
    };
}
